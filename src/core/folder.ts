import type { ByteSource } from './byte-source.js';
import { lastName } from './file-name.js';

export interface FolderFile {
  /** Relative to the folder, its parts separated by `/`. */
  readonly name: string;
  readonly lengthBytes: number;
}

/** A file or folder that is left out, and why. */
export interface LeftOut {
  readonly name: string;
  /** Undefined for folders and for everything that is not a regular file. */
  readonly lengthBytes?: number | undefined;
  readonly reason: string;
}

/** Everything in a folder and its subfolders. */
export interface Listing {
  readonly files: readonly FolderFile[];
  /** Empty subfolders. */
  readonly emptyFolders: readonly string[];
  /** What is always left out: version control folders. */
  readonly leftOut: readonly LeftOut[];
  /** What cannot be read as a file of the folder: links that lead out, pipes, names that are not valid on every system. */
  readonly refused: readonly LeftOut[];
}

/** Access to the files of a model by name: in a folder on disk, a repository on the Hub, one file, or a .wpk. */
export interface Folder {
  /** The name that the user gave. */
  readonly id: string;
  readonly kind: 'directory' | 'hub' | 'file' | 'wpk';
  /** Returns the regular files, subfolders included, in no particular order. @throws {InputError} */
  list(): Promise<readonly FolderFile[]>;
  /** Returns the files and everything else in the folder. Absent where there are only files. @throws {InputError} */
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
