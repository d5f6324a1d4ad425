import { type ByteSource, checkRange } from '../core/byte-source.js';
import { IntegrityError } from '../core/errors.js';
import { checksum } from '../wasm/lossless.js';
import { readPacked } from './checked.js';
import type { Store } from './store.js';
import { BLOCK_BYTES, keyOf, PIECE_BYTES, type StoredFile, sumsKeyOf, wordsOf } from './stored-file.js';

const PIECES_AT_ONCE = 4;

/**
 * Opens a file that `putFile` wrote. What is read is checked, block by block.
 * @throws {InputError} when it is not in the store. @throws {IntegrityError} when its checksums are damaged.
 */
export async function openStoredFile(
  store: Store,
  file: StoredFile,
  signal?: AbortSignal,
): Promise<ByteSource> {
  const { sha256, bytes } = file;
  const { header, arrays } = await readPacked(store, sumsKeyOf(sha256), signal);
  const [words] = arrays;
  const isOfFile =
    header.sha256 === sha256 &&
    header.bytes === bytes &&
    header.blockBytes === BLOCK_BYTES &&
    words instanceof Uint32Array &&
    words.length === 2 * Math.ceil(bytes / BLOCK_BYTES);
  if (!isOfFile)
    throw new IntegrityError('damaged: not the checksums of this file', {
      file: `${store.name}/${sumsKeyOf(sha256)}`,
    });
  return new StoredSource(store, file, words);
}

class StoredSource implements ByteSource {
  readonly name: string;
  readonly byteLength: number;
  /** The last block that was read: small reads one after another are of one block. */
  private last: { readonly start: number; readonly bytes: Uint8Array } | undefined;

  constructor(
    private readonly store: Store,
    private readonly file: StoredFile,
    private readonly sums: Uint32Array,
  ) {
    this.name = file.name;
    this.byteLength = file.bytes;
  }

  async read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
    checkRange(this, start, end);
    const bytes = new Uint8Array(end - start);
    await this.readInto(bytes, start, signal);
    return bytes;
  }

  async readInto(target: Uint8Array, start: number, signal?: AbortSignal): Promise<void> {
    const end = start + target.length;
    checkRange(this, start, end);
    if (target.length === 0) return;
    let next = start - (start % BLOCK_BYTES);
    if (this.last?.start === next) {
      copyOverlap(target, start, this.last.bytes, next);
      next += BLOCK_BYTES;
    }
    const readPieces = async () => {
      while (next < end) {
        const from = next;
        next += PIECE_BYTES;
        const to = Math.min(from + PIECE_BYTES, Math.ceil(end / BLOCK_BYTES) * BLOCK_BYTES, this.byteLength);
        const piece = await this.store.read(keyOf(this.file.sha256), from, to, signal);
        this.check(piece, from);
        copyOverlap(target, start, piece, from);
        if (to >= end) this.keepLast(piece, from);
      }
    };
    const stop = (error: unknown) => {
      next = end;
      throw error;
    };
    await Promise.all(Array.from({ length: PIECES_AT_ONCE }, () => readPieces().catch(stop)));
  }

  async close(): Promise<void> {
    this.last = undefined;
  }

  private keepLast(piece: Uint8Array, from: number): void {
    const start = Math.floor((piece.length - 1) / BLOCK_BYTES) * BLOCK_BYTES;
    this.last = { start: from + start, bytes: new Uint8Array(piece.subarray(start)) };
  }

  private check(piece: Uint8Array, from: number): void {
    for (let at = 0; at < piece.length; at += BLOCK_BYTES) {
      const block = piece.subarray(at, at + BLOCK_BYTES);
      const start = from + at;
      const index = 2 * (start / BLOCK_BYTES);
      const [low, high] = wordsOf(checksum(block));
      if (low === this.sums[index] && high === this.sums[index + 1]) continue;
      const place = { file: this.name, start, end: start + block.length };
      throw new IntegrityError(`damaged in ${this.store.name}: the checksum differs`, place);
    }
  }
}

/** Copies the bytes that two pieces of a file have in common. */
function copyOverlap(target: Uint8Array, targetStart: number, source: Uint8Array, sourceStart: number): void {
  const from = Math.max(targetStart, sourceStart);
  const to = Math.min(targetStart + target.length, sourceStart + source.length);
  if (from < to) target.set(source.subarray(from - sourceStart, to - sourceStart), from - targetStart);
}
