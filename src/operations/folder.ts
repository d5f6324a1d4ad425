import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { InputError } from '../core/errors.js';
import { disk, makeFolders } from '../io/node/disk.js';
import { fileError } from '../io/node/file.js';
import { hold, holdInstead, letGo, temporaryName } from '../io/node/temporary.js';

/**
 * Makes a folder that appears under its name only when it is whole and safe on the disk: `work` fills it under a name that is this
 * run's alone, with files that are synced (`Output`, `writeWhole`). A folder that is replaced is moved aside until then.
 * @param inputs must not be in a folder that is replaced; they may be no files of this machine.
 * @throws {InputError} when there is one already that is not empty, unless `force`, and when it cannot be made.
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
    for (const parent of parents.reverse()) await disk.removeFolder(parent).catch(() => {}); // unless others use them
    throw fileError(error, folder);
  }
}

async function syncFolders(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true }))
    if (entry.isDirectory()) await syncFolders(join(folder, entry.name));
  await disk.syncFolder(folder);
}

/** A folder takes the place of one that is empty, and of nothing else. */
async function rename(making: string, path: string): Promise<void> {
  try {
    await disk.rename(making, path);
  } catch (error) {
    if (!IS_THERE.has((error as NodeJS.ErrnoException).code)) throw error;
    await disk.removeFolder(path).catch(() => {
      throw new InputError('already exists and is not empty', { file: path }, { code: 'exists' });
    });
    await disk.rename(making, path); // where no folder can take another's place, as on Windows
  }
}

const IS_THERE: ReadonlySet<unknown> = new Set(['ENOTEMPTY', 'EEXIST', 'EPERM', 'EACCES', 'ENOTDIR']);

/** Moves what is there aside, and back when the new folder cannot take its place. */
async function replace(making: string, path: string): Promise<void> {
  if (!(await lstat(path).catch(() => undefined))) return rename(making, path);
  const old = temporaryName(path, 'old');
  holdInstead(old, path);
  try {
    await disk.rename(path, old);
    await takePlace(making, path, old);
    await disk.removeTree(old).catch((error) => {
      throw fileError(error, old); // the new folder is whole, under its name
    });
  } finally {
    letGo(old);
  }
}

async function takePlace(making: string, path: string, old: string): Promise<void> {
  const isIn = `what was there is in ${basename(old)}`;
  try {
    await disk.rename(making, path);
  } catch (error) {
    await disk.rename(old, path).catch((cause) => {
      throw new InputError(`cannot be replaced, nor put back: ${isIn}`, { file: path }, { cause });
    });
    throw error;
  }
  await disk.syncFolder(dirname(path)).catch((cause) => {
    throw new InputError(
      `is whole, but the device does not say that it is safe: ${isIn}`,
      { file: path },
      { cause },
    );
  });
}

async function checkFolder(path: string, inputs: readonly string[], force: boolean): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return;
  const there = await stat(path).catch(() => undefined);
  if (!there?.isDirectory())
    throw new InputError('the output is a file, expected the name of a folder', { file: path });
  for (const input of inputs)
    if (await isLostWith(path, input, force))
      throw new InputError(`holds the input ${input}, or is a part of it; nothing was written`, {
        file: path,
      });
  if (force) return;
  if ((await readdir(path)).length)
    throw new InputError('already exists and is not empty', { file: path }, { code: 'exists' });
  if (found.isSymbolicLink())
    throw new InputError('is a link to a folder; expected the name of a new one', { file: path });
}

/** Whether an input lies in a folder, itself or the link that leads to it, or a folder to be replaced in the input. */
async function isLostWith(folder: string, input: string, force: boolean): Promise<boolean> {
  const real = await realpath(input).catch(() => undefined);
  if (real === undefined) return false; // on the Hub
  const [own, place] = await Promise.all([realpath(folder), realpath(dirname(resolve(input)))]);
  const isIn = (path: string, other: string) => path === other || path.startsWith(other + sep);
  return isIn(real, own) || isIn(join(place, basename(input)), own) || (force && isIn(own, real));
}
