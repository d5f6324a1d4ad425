import { InputError } from './errors.js';

/**
 * Random access to bytes by ranges, implemented over files, HTTP and Blobs.
 * `read` returns exactly `end - start` bytes, in memory that the caller owns.
 */
export interface ByteSource {
  /** Shown in error messages: a path or an address. */
  readonly name: string;
  readonly byteLength: number;
  /** Whether reading a byte again is cheap, because the source is on a local disk. */
  readonly isLocal?: boolean;
  /** Reads bytes `start` to `end` (exclusive). @throws {InputError} when the range is out of bounds or the source has been truncated. */
  read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** Fills `target` with the bytes from `start` on, for callers that reuse memory. @throws {InputError} as `read`. */
  readInto?(target: Uint8Array, start: number, signal?: AbortSignal): Promise<void>;
  /**
   * Checks that everything read belongs to one version of the file. On disk: that it was not changed or replaced since it was opened.
   * Over HTTP: that its digest matches, for which the unread rest is read.
   * @throws {InputError} when it does not.
   */
  verify?(signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** Checks that `start` to `end` (exclusive) lies within the source. @throws {InputError} when it does not. */
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
