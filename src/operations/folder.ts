import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { InputError } from '../core/errors.js';
import { disk, makeFolders } from '../io/node/disk.js';
import { fileError } from '../io/node/file.js';
import { hold, holdInstead, letGo, temporaryName } from '../io/node/temporary.js';

/**
 * Makes a folder that gets its name only when it is complete and synced to disk: `work` fills it under a temporary name, with synced
 * files (`Output`, `writeWhole`). A folder to replace is moved aside until then.
 * @param inputs must not be in a folder that is replaced; inputs from elsewhere than this machine are ignored.
 * @throws {InputError} when a folder exists that is not empty, unless `force`, and when it cannot be made.
 */
export async function makeFolder(
  folder: string,
  inputs: string | readonly string[],
  force: boolean,
  work: (making: string) => Promise<void>,
): Promise<void> {
  const path = resolve(folder);
  const making = temporaryName(path);
  const parents: string[] = [];
  try {
    await checkFolder(path, [inputs].flat(), force);
    await makeFolders(dirname(path), parents);
    hold(making);
    await disk.makeFolder(making);
    await work(making);
    await syncFolders(making);
    await (force ? replace(making, path) : rename(making, path));
    letGo(making);
    await disk.syncFolder(dirname(path));
  } catch (error) {
    await disk.removeTree(making).catch(() => {});
    letGo(making);
    for (const parent of parents.reverse()) await disk.removeFolder(parent).catch(() => {}); // fails if others use them
    throw fileError(error, folder);
  }
}

async function syncFolders(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true }))
    if (entry.isDirectory()) await syncFolders(join(folder, entry.name));
  await disk.syncFolder(folder);
}

/** Renames a folder; only an empty folder is replaced. */
async function rename(making: string, path: string): Promise<void> {
  try {
    await disk.rename(making, path);
  } catch (error) {
    if (!IS_THERE.has((error as NodeJS.ErrnoException).code)) throw error;
    await disk.removeFolder(path).catch(() => {
      throw new InputError('already exists and is not empty', { file: path }, { code: 'exists' });
    });
    await disk.rename(making, path); // on Windows a folder cannot replace another
  }
}

const IS_THERE: ReadonlySet<unknown> = new Set(['ENOTEMPTY', 'EEXIST', 'EPERM', 'EACCES', 'ENOTDIR']);

/** Moves the existing folder aside, and back if the new folder cannot be renamed. */
async function replace(making: string, path: string): Promise<void> {
  if (!(await lstat(path).catch(() => undefined))) return rename(making, path);
  const old = temporaryName(path, 'old');
  holdInstead(old, path);
  try {
    await disk.rename(path, old);
    await takePlace(making, path, old);
    await disk.removeTree(old).catch((error) => {
      throw fileError(error, old); // the new folder is complete and has its name
    });
  } finally {
    letGo(old);
  }
}

async function takePlace(making: string, path: string, old: string): Promise<void> {
  const isIn = `the old folder is now ${basename(old)}`;
  try {
    await disk.rename(making, path);
  } catch (error) {
    await disk.rename(old, path).catch((cause) => {
      throw new InputError(`cannot be replaced or moved back: ${isIn}`, { file: path }, { cause });
    });
    throw error;
  }
  await disk.syncFolder(dirname(path)).catch((cause) => {
    throw new InputError(`is complete, but could not be synced to disk: ${isIn}`, { file: path }, { cause });
  });
}

/** Checks that a folder may be made at `path`, or replaced. @throws {InputError} */
export async function checkFolder(path: string, inputs: readonly string[], force: boolean): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return;
  const there = await stat(path).catch(() => undefined);
  if (!there?.isDirectory())
    throw new InputError('the output is a file, expected the name of a folder', { file: path });
  for (const input of inputs)
    if (await isLostWith(path, input, force))
      throw new InputError(`contains the input ${input}, or is part of it; nothing was written`, {
        file: path,
      });
  if (force) return;
  if ((await readdir(path)).length)
    throw new InputError('already exists and is not empty', { file: path }, { code: 'exists' });
  if (found.isSymbolicLink())
    throw new InputError('is a link to a folder; expected the name of a new one', { file: path });
}

/** Returns whether an input, or a link to it, is in a folder, or a folder to be replaced is in the input. */
async function isLostWith(folder: string, input: string, force: boolean): Promise<boolean> {
  const real = await realpath(input).catch(() => undefined);
  if (real === undefined) return false; // on the Hub
  const [own, place] = await Promise.all([realpath(folder), realpath(dirname(resolve(input)))]);
  const isIn = (path: string, other: string) => path === other || path.startsWith(other + sep);
  return isIn(real, own) || isIn(join(place, basename(input)), own) || (force && isIn(own, real));
}
