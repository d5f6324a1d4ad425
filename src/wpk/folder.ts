import type { ByteSource } from '../core/byte-source.js';
import { InputError } from '../core/errors.js';
import type { Folder, FolderFile, Listing } from '../core/folder.js';
import { openStoredFile } from './original.js';
import type { Container } from './reader.js';

/** The files in a .wpk, as a folder: they are decoded when they are read. */
export class WpkFolder implements Folder {
  readonly kind = 'wpk';
  readonly id: string;

  constructor(private readonly container: Container) {
    this.id = container.source.name;
  }

  async list(): Promise<readonly FolderFile[]> {
    const { sideFiles, weightFiles } = this.container.directory;
    return [...sideFiles, ...weightFiles].map(({ name, length }) => ({ name, lengthBytes: length }));
  }

  async listAll(): Promise<Listing> {
    const { emptyFolders } = this.container.directory;
    return { files: await this.list(), emptyFolders, leftOut: [], refused: [] };
  }

  async open(name: string): Promise<ByteSource> {
    const found = await openStoredFile(this.container, name);
    if (!found) throw new InputError('no such file', { file: this.place(name) });
    return found;
  }

  place(name: string): string {
    return `${this.id}, ${name}`;
  }
}
