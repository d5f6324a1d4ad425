import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError } from '../io/node/file.js';

/** Returns the paths of all .wpk files below a folder, sorted. Symbolic links are not followed. @throws {InputError} when the folder cannot be read. */
export async function wpkFilesIn(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error) => {
    throw fileError(error, folder);
  });
  return found
    .filter((entry) => entry.isFile() && entry.name.endsWith('.wpk'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}
