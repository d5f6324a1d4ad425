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
  /** Undefined for folders and what is no regular file. */
  readonly lengthBytes?: number | undefined;
  /** Why, in words. */
  readonly reason: string;
}

/** Everything that is in a folder, its subfolders included. */
export interface Listing {
  /** Regular files, subfolders included. */
  readonly files: readonly FolderFile[];
  /** Folders without anything in them. */
  readonly emptyFolders: readonly string[];
  /** What is never stored: folders of version control. */
  readonly leftOut: readonly LeftOut[];
  /** What is in the folder and cannot be read as a file of it: links that lead out, pipes, names that other systems cannot have. */
  readonly refused: readonly LeftOut[];
}

/** The files of a model by their names, wherever they lie: a folder on disk, a repository on the Hub, one file, or a .wpk. */
export interface Folder {
  /** The path, address or name that it was opened by. */
  readonly id: string;
  /** Where it is: a folder on disk, a repository on the Hub, one file, or a .wpk. */
  readonly kind: 'directory' | 'hub' | 'file' | 'wpk';
  /** Lists the regular files in it, subfolders included, in no order. @throws {InputError} */
  list(): Promise<readonly FolderFile[]>;
  /** Lists everything in it; without this there are only files. @throws {InputError} */
  survey?(): Promise<Listing>;
  /** Opens a file. @throws {InputError} */
  open(name: string): Promise<ByteSource>;
  /** Returns a file's name as messages call it. */
  place(name: string): string;
}

/** Returns the first of `names` that is in the folder. */
export function firstOf(files: readonly FolderFile[], names: readonly string[]): string | undefined {
  return names.find((name) => files.some((file) => file.name === name));
}

/** Returns everything that is in a folder. @throws {InputError} */
export async function surveyOf(folder: Folder): Promise<Listing> {
  return (
    (await folder.survey?.()) ?? { files: await folder.list(), emptyFolders: [], leftOut: [], refused: [] }
  );
}

/** One file as a folder of one. The source stays open: it belongs to whoever opened it. */
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
