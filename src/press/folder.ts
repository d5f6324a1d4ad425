import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../errors.js';
import { fileError } from '../io/file.js';

/**
 * Makes a folder that appears under its name only when it is whole: `work` fills it under another.
 * @param input must not be in a folder that is replaced; it may be no file of this machine.
 * @throws {InputError} when there is one already that is not empty, unless `force`, and when it cannot be made.
 */
export async function makeFolder(
  folder: string,
  input: string,
  force: boolean,
  work: (making: string) => Promise<void>,
): Promise<void> {
  const making = `${folder.replace(/[\\/]+$/, '')}.partial`;
  try {
    await checkFolder(folder, input, force);
    await rm(making, { recursive: true, force: true });
    await mkdir(making, { recursive: true });
    await work(making);
    if (force) await rm(folder, { recursive: true, force: true });
    await rename(making, folder);
  } catch (error) {
    await rm(making, { recursive: true, force: true });
    throw fileError(error, folder);
  }
}

async function checkFolder(folder: string, input: string, force: boolean): Promise<void> {
  const there = await stat(folder).catch(() => undefined);
  if (!there) return;
  if (!there.isDirectory())
    throw new InputError('the output is a file, expected the name of a folder', { file: folder });
  const read = await stat(input).catch(() => undefined);
  const isInput = read?.dev === there.dev && read.ino === there.ino;
  if (isInput || (read && (await insideOf(folder, read.dev, read.ino))))
    throw new InputError(`holds the input ${input}; nothing was written`, { file: folder });
  if (!force && (await readdir(folder)).length)
    throw new InputError('already exists and is not empty; --force replaces it', { file: folder });
  if (!force) await rm(folder, { recursive: true });
}

async function insideOf(folder: string, dev: number, ino: number): Promise<boolean> {
  for (const name of await readdir(folder)) {
    const there = await stat(join(folder, name)).catch(() => undefined);
    if (there?.dev === dev && there.ino === ino) return true;
  }
  return false;
}
