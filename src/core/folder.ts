import type { ByteSource } from './byte-source.js';
import { lastName } from './file-name.js';

/** A file of a folder. */
export interface FolderFile {
  /** Relative to the folder, its parts separated by `/`. */
  readonly name: string;
  /** Bytes in it. */
  readonly lengthBytes: number;
}

/** A file or folder that is not stored, and why. */
export interface LeftOut {
  /** Relative to the folder, its parts separated by `/`. */
  readonly name: string;
  /** Undefined for folders and for everything that is not a regular file. */
  readonly lengthBytes?: number | undefined;
  /** Why, in words. */
  readonly reason: string;
}

/** Everything in a folder and its subfolders. */
export interface Listing {
  /** Regular files, subfolders included. */
  readonly files: readonly FolderFile[];
  /** Empty subfolders. */
  readonly emptyFolders: readonly string[];
  /** What is never stored: folders of version control. */
  readonly leftOut: readonly LeftOut[];
  /** What cannot be read as a file of the folder: links that lead out, pipes, names that are not valid on every system. */
  readonly refused: readonly LeftOut[];
}

/** Access to the files of a model by name: in a folder on disk, a repository on the Hub, one file, or a .wpk. */
export interface Folder {
  /** The path, address or name that it was opened by. */
  readonly id: string;
  /** Where it is: a folder on disk, a repository on the Hub, one file, or a .wpk. */
  readonly kind: 'directory' | 'hub' | 'file' | 'wpk';
  /** Lists the regular files in it, subfolders included, in no order. @throws {InputError} */
  list(): Promise<readonly FolderFile[]>;
  /** Lists everything in it; without this there are only files. @throws {InputError} */
  listAll?(): Promise<Listing>;
  /** Opens a file. @throws {InputError} */
  open(name: string): Promise<ByteSource>;
  /** Returns a file's path or address for messages. */
  place(name: string): string;
}

/** Returns everything in a folder. @throws {InputError} */
export async function listAll(folder: Folder): Promise<Listing> {
  return (
    (await folder.listAll?.()) ?? { files: await folder.list(), emptyFolders: [], leftOut: [], refused: [] }
  );
}

/** A folder of a single file. The source stays open: it belongs to the caller. */
export class SingleFile implements Folder {
  readonly kind = 'file';

  constructor(
    readonly id: string,
    private readonly source: ByteSource,
  ) {}

  async list(): Promise<readonly FolderFile[]> {
    return [{ name: lastName(this.id), lengthBytes: this.source.byteLength }];
  }

  async open(): Promise<ByteSource> {
    const { source } = this;
    return {
      name: source.name,
      byteLength: source.byteLength,
      ...(source.isLocal && { isLocal: true }),
      read: source.read.bind(source),
      ...(source.readInto && { readInto: source.readInto.bind(source) }),
      ...(source.verify && { verify: source.verify.bind(source) }),
      close: async () => {},
    };
  }

  place(): string {
    return this.id;
  }
}
