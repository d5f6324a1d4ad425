// The main job on the bundled model, as a user would type it: `npm start`.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const model = relative(process.cwd(), fileURLToPath(new URL('gpt-neo-tiny', import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), 'weightpress-tour-'));
const text = relative(process.cwd(), fileURLToPath(new URL('held-out.txt', import.meta.url)));
const [file, small, restored] = [join(folder, 'tiny.wpk'), join(folder, 'small.wpk'), join(folder, 'tiny')];

/** Shows a command and runs it. */
function weightpress(...args) {
  console.log(
    `\n$ weightpress ${args.map((word) => (/\s/.test(word) ? JSON.stringify(word) : word)).join(' ')}\n`,
  );
  const { status } = spawnSync(process.execPath, [program, ...args], { stdio: 'inherit' });
  if (status !== 0) throw new Error(`weightpress ${args[0]} ended with ${status}`);
}

try {
  weightpress('analyze', model);
  weightpress('compress', model, '-o', file);
  weightpress('verify', file, '--against', model);
  weightpress('evaluate', file, '--against', model, '--text', text, '--attach');
  weightpress('generate', file, 'It was a dark night, and', '--tokens', '40');
  weightpress('compress', model, '-o', small, '--bits', '3');
  weightpress('evaluate', small, '--against', model, '--text', text, '--attach');
  weightpress('generate', small, 'It was a dark night, and', '--tokens', '40');
  weightpress('audit', small, '--against', model);
  weightpress('catalog', folder);
  weightpress('decompress', file, '-o', restored);
  const names = readdirSync(model);
  for (const name of names)
    if (!readFileSync(join(model, name)).equals(readFileSync(join(restored, name))))
      throw new Error(`${name} differs`);
  console.log(`\n${names.length} files compared byte by byte with the originals: all the same.`);
} finally {
  rmSync(folder, { recursive: true });
}
