// Builds everything: kernels (AssemblyScript -> WebAssembly -> bytes in a module), then TypeScript.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { relative } from 'node:path';
import { build } from 'rolldown';

/** Runs a tool by its script, because Windows cannot execute the files in node_modules/.bin. What it says is printed if it fails. */
const run = (script, ...args) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`node_modules/${script}`, ...args]);
  if (status === 0) return;
  process.stderr.write(Buffer.concat([stdout, stderr]));
  process.exit(1);
};

const ASSEMBLY = 'src/wasm/assembly';

mkdirSync('dist/wasm', { recursive: true });
const modules = readdirSync(ASSEMBLY).filter((name) => name.endsWith('.ts'));
const changedAt = Math.max(
  ...modules.map((name) => statSync(`${ASSEMBLY}/${name}`).mtimeMs),
  statSync('src/wasm/constants.ts').mtimeMs,
  statSync('scripts/build.js').mtimeMs,
);
mkdirSync('src/wasm/compiled', { recursive: true });
for (const file of modules.filter((name) => !name.startsWith('_'))) {
  const name = file.replace('.ts', '');
  const wasm = `dist/wasm/${name}.wasm`;
  if (!existsSync(wasm) || statSync(wasm).mtimeMs < changedAt)
    // biome-ignore format: one option a line reads worse
    run('assemblyscript/bin/asc.js', `${ASSEMBLY}/${file}`, '-o', wasm, '-O3', '--noAssert', '--converge', '--runtime', 'stub', '--enable', 'simd',
    '--enable', 'bulk-memory', '--use', 'abort=');
  // one file each, so that a page loads only the kernels that it runs
  const source = `export const ${name} =\n  '${readFileSync(wasm).toString('base64')}';\n`;
  writeFileSync(
    `src/wasm/compiled/${name}.ts`,
    `// Made by scripts/build.js from assembly/${file}.\n${source}`,
  );
}
run('typescript/bin/tsc', '--build', '--force');

// Threads and the command become few files: to load their hundreds of modules takes longer than to compress the first hundred megabytes.
await bundle({ 'block-thread': 'dist/wpk/node/block-thread.js' }, 'dist/wpk/node');
await bundle({ 'hash-thread': 'dist/workers/node/hash-thread.js' }, 'dist/workers/node');
rmSync('dist/program', { recursive: true, force: true });
await bundle({ main: 'dist/cli/main.js' }, 'dist/program');
writeFileSync('dist/cli/main.js', "#!/usr/bin/env node\nimport '../program/main.js';\n");
chmodSync('dist/cli/main.js', 0o755);

/** Bundles modules of this project; packages stay outside. */
function bundle(input, dir) {
  return build({
    input,
    platform: 'node',
    logLevel: 'silent',
    external: /^[^./]/,
    plugins: [keepPlaces(dir)],
    output: { dir, entryFileNames: '[name].js', chunkFileNames: '[name].js' },
  });
}

/** Returns a plugin that lets a module find the files beside it, although its code moves to `dir`. */
function keepPlaces(dir) {
  return {
    name: 'keep-places',
    transform(code, id) {
      const place = JSON.stringify(relative(dir, id).replaceAll('\\', '/'));
      return code.replaceAll('import.meta.url', `new URL(${place}, import.meta.url).href`);
    },
  };
}
