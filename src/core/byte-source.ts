import { InputError } from './errors.js';

/**
 * The one way bytes are read: by ranges. Files, HTTP and Blobs are adapters of it.
 * `read` returns exactly `end - start` bytes, in memory that nobody else writes to.
 */
export interface ByteSource {
  /** What messages call it: a path or an address. */
  readonly name: string;
  /** Bytes in it. */
  readonly byteLength: number;
  /** True where reading a byte twice costs next to nothing: it is on this machine's disk. */
  readonly isLocal?: boolean;
  /** Reads bytes `start` to `end` (exclusive). @throws {InputError} when the range lies outside, or the source has become shorter. */
  read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** Reads as many bytes as `target` has, from `start`, into it: for loops that use their memory again. */
  readInto?(target: Uint8Array, start: number, signal?: AbortSignal): Promise<void>;
  /**
   * Checks that all that was read is of one file: on disk, that it was not changed or replaced since it was opened; from afar, that it
   * is the file that is published, reading what has not been read yet.
   * @throws {InputError} when it is another.
   */
  verify?(signal?: AbortSignal): Promise<void>;
  /** Frees it. */
  close(): Promise<void>;
}

/** Returns a source whose reads end with `signal`, for one that a single run reads. */
export function withSignal(source: ByteSource, signal: AbortSignal | undefined): ByteSource {
  if (!signal) return source;
  return {
    name: source.name,
    byteLength: source.byteLength,
    ...(source.isLocal && { isLocal: true }),
    read: (start, end) => source.read(start, end, signal),
    ...(source.readInto && { readInto: (target, start) => source.readInto!(target, start, signal) }),
    ...(source.verify && { verify: () => source.verify!(signal) }),
    close: () => source.close(),
  };
}

/** @throws {InputError} unless `start` to `end` (exclusive) are bytes of the source. */
export function checkRange(
  { name, byteLength }: Pick<ByteSource, 'name' | 'byteLength'>,
  start: number,
  end: number,
): void {
  if (!(start >= 0 && start <= end && end <= byteLength))
    throw new InputError(`range lies outside the ${byteLength} bytes`, { file: name, start, end });
}

/** Fills `target` from `start`, without a copy where the source can. @throws {InputError} as `read`. */
export async function readInto(
  source: ByteSource,
  target: Uint8Array,
  start: number,
  signal?: AbortSignal,
): Promise<void> {
  if (source.readInto) await source.readInto(target, start, signal);
  else target.set(await source.read(start, start + target.length, signal));
}
