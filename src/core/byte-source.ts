import { InputError } from './errors.js';

/**
 * Random access to bytes by ranges, implemented over files, HTTP and Blobs.
 * `read` returns exactly `end - start` bytes, in memory that the caller owns.
 */
export interface ByteSource {
  /** What messages call it: a path or an address. */
  readonly name: string;
  /** Bytes in it. */
  readonly byteLength: number;
  /** True where reading a byte twice costs next to nothing: it is on this machine's disk. */
  readonly isLocal?: boolean;
  /** Descriptor of the open file on this machine, by which threads can read it themselves. */
  readonly descriptor?: number | undefined;
  /** Reads bytes `start` to `end` (exclusive). @throws {InputError} when the range lies outside, or the source has become shorter. */
  read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** Reads as many bytes as `target` has, from `start`, into it: for loops that use their memory again. */
  readInto?(target: Uint8Array, start: number, signal?: AbortSignal): Promise<void>;
  /**
   * Checks that everything read belongs to one version of the file. On disk: that it was not changed or replaced since it was opened.
   * Over HTTP: that its digest matches, for which the unread rest is read.
   * @throws {InputError} when it does not.
   */
  verify?(signal?: AbortSignal): Promise<void>;
  /** Frees it. */
  close(): Promise<void>;
}

/** A range of an open file of this machine, which every thread can read. */
export interface FilePlace {
  /** Its name, for errors. */
  readonly file: string;
  readonly descriptor: number;
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

/** Returns a source whose reads end with `signal`, for one that a single run reads. */
export function withSignal(source: ByteSource, signal: AbortSignal | undefined): ByteSource {
  if (!signal) return source;
  return {
    name: source.name,
    byteLength: source.byteLength,
    ...(source.isLocal && { isLocal: true }),
    ...(source.descriptor !== undefined && { descriptor: source.descriptor }),
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
    throw new InputError(`range is outside the ${byteLength} bytes`, { file: name, start, end });
}

/** Fills `target` with the bytes from `start` on, without a copy if the source supports it. @throws {InputError} as `read`. */
export async function readInto(
  source: ByteSource,
  target: Uint8Array,
  start: number,
  signal?: AbortSignal,
): Promise<void> {
  if (source.readInto) await source.readInto(target, start, signal);
  else target.set(await source.read(start, start + target.length, signal));
}

/** Bytes that {@link readPieces} reads at once. */
const PIECE_BYTES = 2 ** 23;

/** Reads a source from its first byte to its last. */
export async function* readPieces(source: ByteSource, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < source.byteLength; start += PIECE_BYTES)
    yield source.read(start, Math.min(source.byteLength, start + PIECE_BYTES), signal);
}
