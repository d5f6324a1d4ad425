import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, openFile } from '../io/file.js';
import type { ByteSource } from '../io/source.js';

export interface FolderFile {
  readonly name: string;
  readonly lengthBytes: number;
}

/** The files of a model by their names, wherever they lie: a folder on disk, or a repository on the Hub. */
export interface Folder {
  /** What the user called it. */
  readonly id: string;
  readonly kind: 'directory' | 'hub';
  /** The regular files directly in it, in no order. @throws {InputError} */
  list(): Promise<readonly FolderFile[]>;
  /** @throws {InputError} */
  open(name: string): Promise<ByteSource>;
  /** A file as messages call it. */
  place(name: string): string;
}

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

/** The first of `names` that is in the folder. */
export function firstOf(files: readonly FolderFile[], names: readonly string[]): string | undefined {
  return names.find((name) => files.some((file) => file.name === name));
}
