// Makes the conformance files of the .wpk format, spec/vectors/, and vectors.json with the expected content of each.
//   node scripts/vectors.js            writes spec/vectors/
//   node scripts/vectors.js --check    writes nothing: exit code 1 if a lossless or malformed file would change
// Lossy files depend on the machine's arithmetic: the stored files are the vectors, on whatever machine they were made.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { decompress } from '../dist/index.js';
import { parseWpk } from './fuzz/wpk-file.js';
import { MALFORMED } from './vectors/malformed.js';
import { makeSound, SOUND } from './vectors/sound.js';

const VECTORS = fileURLToPath(new URL('../spec/vectors', import.meta.url));

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Returns the expected content that a reader restores from a file. */
async function restoredFrom(path, folder) {
  await decompress(path, folder, { threads: 0 });
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) =>
    name.replaceAll('\\', '/'),
  );
  const isFile = (name) => statSync(join(folder, name)).isFile();
  const isEmpty = (name) => !isFile(name) && readdirSync(join(folder, name)).length === 0;
  return {
    files: names
      .filter(isFile)
      .sort()
      .map((name) => {
        const bytes = readFileSync(join(folder, name));
        return { name, bytes: bytes.length, sha256: sha256(bytes) };
      }),
    emptyFolders: names.filter(isEmpty).sort(),
  };
}

/** Writes all files but those that `leaves` leaves out, and the list of them. */
async function writeAll(target, place, leaves = () => false) {
  const list = { version: 1, sound: [], malformed: [] };
  const sound = new Map();
  for (const [name, { about, write, base }] of Object.entries(SOUND)) {
    if (leaves(write)) continue;
    const bytes = await makeSound(place, name);
    sound.set(name, bytes);
    const file = `${name}.wpk`;
    writeFileSync(join(target, file), bytes);
    const tensors = parseWpk(bytes).directory.tensors.map(({ name, dtype, shape, sha256, sameAs }) =>
      sameAs === undefined ? { name, dtype, shape, sha256 } : { name, dtype, shape, sameAs },
    );
    const restored = await restoredFrom(join(target, file), join(place, `${name}-restored`));
    const needs = base && { base: `${base}.wpk` };
    list.sound.push({
      ...{ file, about, ...needs, bytes: bytes.length, sha256: sha256(bytes) },
      ...restored,
      tensors,
    });
  }
  for (const [name, { of, rule, when, make }] of Object.entries(MALFORMED)) {
    if (!sound.has(of)) continue;
    const bytes = make(sound.get(of));
    const file = `malformed-${name}.wpk`;
    writeFileSync(join(target, file), bytes);
    list.malformed.push({ file, rule, when, bytes: bytes.length, sha256: sha256(bytes) });
  }
  writeFileSync(join(target, 'vectors.json'), `${JSON.stringify(list, null, 2)}\n`);
}

const differences = (made) =>
  readdirSync(made).filter(
    (name) =>
      name.endsWith('.wpk') && !readFileSync(join(made, name)).equals(readFileSync(join(VECTORS, name))),
  );

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
const place = mkdtempSync(join(tmpdir(), 'weightpress-vectors-'));
try {
  const target = values.check ? join(place, 'vectors') : VECTORS;
  mkdirSync(target, { recursive: true });
  await writeAll(target, place, (write) => values.check && write !== undefined);
  if (values.check) {
    const different = differences(target);
    console.log(different.length ? `different: ${different.join(', ')}` : 'the same files');
    process.exitCode = different.length ? 1 : 0;
  }
} finally {
  rmSync(place, { recursive: true, force: true });
}
