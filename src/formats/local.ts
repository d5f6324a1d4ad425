import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, openFile } from '../io/file.js';
import type { ByteSource } from '../io/source.js';
import { openFolder } from './directory.js';
import type { Folder, FolderFile } from './folder.js';
import type { Model } from './model.js';
import { openSource } from './open.js';

/** A folder on disk; links are followed. */
export class LocalFolder implements Folder {
  readonly kind = 'directory';

  /** @param path where it is. @param id what it is called; that which was downloaded is not called by its path. */
  constructor(
    private readonly path: string,
    readonly id = path,
  ) {}

  async list(): Promise<readonly FolderFile[]> {
    const names = await readdir(this.path).catch((error) => {
      throw fileError(error, this.path);
    });
    const files: FolderFile[] = [];
    for (const name of names) {
      const found = await stat(join(this.path, name)).catch(() => undefined); // A dangling link is no file.
      if (found?.isFile()) files.push({ name, lengthBytes: found.size });
    }
    return files;
  }

  open(name: string): Promise<ByteSource> {
    return openFile(this.place(name));
  }

  place(name: string): string {
    return join(this.path, name);
  }
}

/**
 * Opens a model on disk: a folder, or a file of a kind that has an opener, told by its first bytes.
 * Only headers are read.
 * @throws {InputError} with one line when it is nothing that can be opened.
 */
export async function openLocal(path: string): Promise<Model> {
  const found = await stat(path).catch((error) => {
    throw fileError(error, path);
  });
  return found.isDirectory() ? openFolder(new LocalFolder(path)) : openSource(path, await openFile(path));
}
