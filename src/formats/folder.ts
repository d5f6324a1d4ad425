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

/** The first of `names` that is in the folder. */
export function firstOf(files: readonly FolderFile[], names: readonly string[]): string | undefined {
  return names.find((name) => files.some((file) => file.name === name));
}
