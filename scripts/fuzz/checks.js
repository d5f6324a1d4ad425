import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isInputError } from '../../dist/core/errors.js';
import { analyze, compress, decompress, inspect, open, verify } from '../../dist/index.js';
import { openFiles } from '../../dist/open/open.js';

// Properties that must hold for any file.

/** A violated property, in one line. */
export class Finding extends Error {}

/**
 * Returns the result of a call, or the one-line message of an InputError.
 * @throws any other error, which no input may cause.
 */
export async function attempt(work) {
  try {
    return { value: await work() };
  } catch (error) {
    if (!isInputError(error)) throw error;
    if (!error.message || /[\r\n]/.test(error.message))
      throw new Finding(`a message of lines: ${JSON.stringify(error.message)}`);
    return { refused: error.message };
  }
}

/** Writes files into an empty folder and returns its path. */
export function folderOf(files, path) {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), bytes);
  }
  return path;
}

/** Reads a model like the commands that do not write. `further` does more with it; `headersOnly`: no weights are read. */
export async function look(path, { further = async () => {}, headersOnly = false } = {}) {
  const { value: model } = await attempt(() => open(path));
  if (!model) return;
  try {
    await attempt(() => analyze(model, { headersOnly }));
    await attempt(() => further(model));
  } finally {
    await model.close();
  }
}

/** Checks a folder with any content: it is read or refused, and restored from a .wpk byte for byte. */
export async function checkFolder(files, place, how = {}) {
  const folder = folderOf(files, join(place, 'model'));
  const [packed, restored] = [join(place, 'x.wpk'), join(place, 'out')];
  await look(folder, how);
  await compress(folder, packed, { threads: 0, force: true });
  await decompress(packed, restored, { threads: 0, force: true });
  for (const [name, bytes] of Object.entries(files))
    if (!readFileSync(join(restored, name)).equals(bytes))
      throw new Finding(`${name} comes back as another file`);
  await look(packed, { ...how, headersOnly: true });
  noLeftovers(place, ['model', 'x.wpk', 'out']);
}

/** Checks that a .wpk is valid for all readers, or for none. */
export async function checkWpk(bytes, place) {
  const [path, restored] = [join(place, 'x.wpk'), join(place, 'out')];
  writeFileSync(path, bytes);
  rmSync(restored, { recursive: true, force: true });
  const verified = await attempt(() => verify(path, { threads: 0 }));
  const problem = verified.refused ?? verified.value.problems[0];
  if (verified.value && verified.value.good !== (problem === undefined))
    throw new Finding('good, with a problem');
  const { refused } = await attempt(() => decompress(path, restored, { threads: 0 }));
  if ((problem === undefined) !== (refused === undefined))
    throw new Finding(`verify: ${problem ?? 'good'}; decompress: ${refused ?? 'good'}`);
  noLeftovers(place, refused === undefined ? ['x.wpk', 'out'] : ['x.wpk']);
  await attempt(() => inspect(path));
  await attempt(() => readFiles(path, restored, refused === undefined));
  await look(path, { headersOnly: bytes.length % 4 > 0 }); // what is in it was decoded above
}

/** Reads the same files in parts. */
async function readFiles(path, restored, good) {
  const files = await openFiles(path);
  try {
    for (const { name, lengthBytes } of await files.list()) {
      const source = await files.open(name);
      const end = Math.min(lengthBytes, 2 ** 20);
      const read = await source.read(0, end);
      await source.close();
      if (good && !readFileSync(join(restored, name)).subarray(0, end).equals(read))
        throw new Finding(`${name} is another file by parts than whole`);
    }
  } finally {
    await files.close();
  }
}

export function noLeftovers(place, expected) {
  const left = readdirSync(place).filter((name) => !expected.includes(name));
  if (left.length) throw new Finding(`leaves ${left.join(', ')}`);
}
