/**
 * The one way bytes are read: by ranges. Files, HTTP and Blobs are adapters of it.
 * `read` returns exactly `end - start` bytes, in memory that nobody else writes to.
 */
export interface ByteSource {
  /** Shown in error messages: a path or an address. */
  readonly name: string;
  readonly byteLength: number;
  /** @throws {InputError} when the range is not in the source or the source has become shorter. */
  read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array>;
  close(): Promise<void>;
}
