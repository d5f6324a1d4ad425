/** Maximum bytes that a response waits with for its reader. */
export const CHUNK_BYTES = 2 ** 17;

/** What identifies the content of a file. */
export interface Content {
  readonly length: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

/** A file that is open for one response. */
export interface OpenedFile extends Content {
  /** Yields the bytes from `start` to `end` (exclusive), at most {@link CHUNK_BYTES} at a time, each valid until the next is asked for. */
  read(start: number, end: number): AsyncIterable<Uint8Array>;
  close(): void;
}

/** A file of a repository. */
export interface RepositoryFile {
  readonly name: string;
  /** Its content; undefined for a file that has not been made yet. */
  readonly content: Content | undefined;
  /** Opens it; makes it first, where it has to be made. @throws {InputError} when it cannot be read. */
  open(): Promise<OpenedFile>;
}

/** What the Hub's protocol serves under one name. */
export interface Repository {
  /** 40 hexadecimal digits: the same for the same content. */
  readonly commit: string;
  readonly modified: Date;
  readonly files: ReadonlyMap<string, RepositoryFile>;
}

/** Returns the content of a file, which is made if need be. */
export async function contentOf(file: RepositoryFile): Promise<Content> {
  if (file.content) return file.content;
  const { length, sha256, close } = await file.open();
  close();
  return { length, sha256 };
}
