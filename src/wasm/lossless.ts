import { BLOCK_BYTES, DECODE_CHUNK, isWide, statesBytes } from './blocks.js';
import { lossless } from './compiled/lossless.js';
import { DECODER_ENTRY_BYTES, ENCODER_ENTRY_BYTES, SYMBOL_SCALE_BITS } from './constants.js';
import { BASE_SIZES, type BaseExports, BaseKernels } from './from-base.js';
import { addressOf, type BufferSizes, type Buffers, layOutBuffers, loadKernels } from './loader.js';

export { BLOCK_BYTES, DECODE_CHUNK, statesBytes };

/** Maximum number of symbols in a table; their values are below it. */
export const MAX_SYMBOLS = 1 << 13;

/**
 * The bits of a float that are modeled (docs/lossless.md, "Floats"). The top 16 bits of an element are its head:
 * sign, symbol bits, and below them `low` bits. The last `zeros` of these are zero in the whole block. The rest of the
 * element is the tail; below its top `tailBits` all bits are zero in the whole block.
 */
export interface FloatSplit {
  readonly low: number;
  readonly zeros: number;
  /** True: the sign is the symbol's top bit. False: it is stored raw. */
  readonly signed: boolean;
  readonly tailBits: number;
}

interface Exports extends BaseExports {
  buildEncoder(count: number, wide: boolean): void;
  encode(count: number, end: number): number;
  buildDecoder(count: number, wide: boolean): void;
  startDecoding(stream: number): void;
  decode(count: number, end: number): number;
  endedAt(end: number): number;
  countHeads(count: number, width: number, shift: number): bigint;
  splitPlane(count: number, width: number, plane: number): void;
  mergePlane(first: number, count: number, width: number, plane: number): void;
  // biome-ignore format: the order of the arguments, on one line
  splitFloats(count: number, width: number, low: number, zeros: number, signed: boolean, tailBits: number): void;
  // biome-ignore format: as above
  mergeFloats(first: number, count: number, width: number, low: number, zeros: number, signed: boolean, tailBits: number, heads: number, tails: number): void;
  checksum(bytes: number, length: number, seed: bigint): bigint;
}

const SIZES = {
  elements: [Uint8Array, BLOCK_BYTES],
  symbols: [Uint16Array, BLOCK_BYTES],
  heads: [Uint8Array, 2 * BLOCK_BYTES],
  tails: [Uint8Array, BLOCK_BYTES],
  payload: [Uint8Array, 2 * BLOCK_BYTES], // the longest: one byte per element, coded by 14 bits each
  frame: [Uint8Array, BLOCK_BYTES + 256], // for the caller: a frame of one block
  bins: [Uint32Array, 2 * 65536], // two tables while heads are counted
  frequencies: [Uint32Array, MAX_SYMBOLS],
  values: [Uint16Array, MAX_SYMBOLS],
  encoder: [Uint8Array, MAX_SYMBOLS * ENCODER_ENTRY_BYTES],
  slots: [Uint16Array, 1 << SYMBOL_SCALE_BITS],
  entries: [Uint8Array, MAX_SYMBOLS * DECODER_ENTRY_BYTES],
  wideSlots: [Uint8Array, DECODER_ENTRY_BYTES << SYMBOL_SCALE_BITS],
  ...BASE_SIZES,
} as const satisfies BufferSizes;

/** Padding after every buffer, for whole SIMD vectors and for a chunk of a damaged stream. */
const SLACK_BYTES = 4 * DECODE_CHUNK;

/**
 * The lossless codec's kernels and their memory of 16 MiB: one instance per thread, used by one block at a time.
 * Kernels work on the first `count` elements, or on `count` from `first` on, of `width` bytes (1, 2, 4 or 8) each.
 */
export class LosslessKernels {
  private readonly call = loadKernels<Exports>(lossless);
  /** Views of the memory, which has a fixed size. Encoded streams end at the end of `payload`. */
  readonly buffers: Buffers<typeof SIZES> = layOutBuffers(this.call, SIZES, SLACK_BYTES);
  /** The kernels for elements that are differences from a base. */
  readonly fromBase = new BaseKernels(this.call, this.buffers);
  private streamEnd = 0;

  /** Counts the values of the elements' top 16 bits, without the last `shift` of them. @returns the counts, and the OR of all elements. */
  countHeads(count: number, width: number, shift: number): { heads: Uint32Array; seen: bigint } {
    const seen = BigInt.asUintN(64, this.call.countHeads(count, width, shift));
    return { heads: this.buffers.bins.subarray(0, 65536 >> shift), seen };
  }

  /** Writes byte `plane` of every element to `symbols`. @returns the count of each value. */
  splitPlane(count: number, width: number, plane: number): Uint32Array {
    this.call.splitPlane(count, width, plane);
    return this.buffers.bins.subarray(0, 256);
  }

  /** Writes `symbols` to byte `plane` of elements. */
  mergePlane(first: number, count: number, width: number, plane: number): void {
    this.call.mergePlane(first, count, width, plane);
  }

  /** Splits elements into `symbols` and the packed `heads` and `tails`. */
  splitFloats(count: number, width: number, { low, zeros, signed, tailBits }: FloatSplit): void {
    this.call.splitFloats(count, width, low, zeros, signed, tailBits);
  }

  /** Inverts splitFloats. `symbols` are shifted left by `low`; `heads` and `tails` are views of `payload`. */
  mergeFloats(
    first: number,
    count: number,
    width: number,
    { low, zeros, signed, tailBits }: FloatSplit,
    heads: Uint8Array,
    tails: Uint8Array,
  ): void {
    const [headsAt, tailsAt] = [addressOf(this.call, heads), addressOf(this.call, tails)];
    this.call.mergeFloats(first, count, width, low, zeros, signed, tailBits, headsAt, tailsAt);
  }

  /** Encodes the first `count` of `symbols` with `frequencies`; all symbols are below `limit`. @returns a view, valid until the next call. */
  encode(count: number, limit: number): Uint8Array {
    const { payload } = this.buffers;
    this.call.buildEncoder(limit, isWide(count));
    const end = payload.byteOffset + payload.length;
    return payload.subarray(this.call.encode(count, end) - payload.byteOffset);
  }

  /**
   * Starts decoding a view of `payload`, a stream of `count` symbols, with the first `tableLength` of `frequencies` and of the `values`
   * that they belong to.
   */
  startDecoding(stream: Uint8Array, tableLength: number, count: number): void {
    this.call.buildDecoder(tableLength, isWide(count));
    this.call.startDecoding(addressOf(this.call, stream));
    this.streamEnd = stream.byteOffset + stream.length;
  }

  /** Decodes the next `count` values to `symbols`: DECODE_CHUNK of them, fewer only in the last call. @returns false when the stream is too short. */
  decode(count: number): boolean {
    return Boolean(this.call.decode(count, this.streamEnd));
  }

  /** Returns true when the stream ends at the last decoded value. */
  streamEnded(): boolean {
    return Boolean(this.call.endedAt(this.streamEnd));
  }

  /** Returns the XXH64 of the first `length` bytes of `elements`. */
  elementsDigest(length: number): bigint {
    return BigInt.asUintN(64, this.call.checksum(this.buffers.elements.byteOffset, length, 0n));
  }

  /** Returns the XXH64 of up to 2 MiB of bytes; of more in the kernels' memory. @throws {RangeError} for more. */
  checksum(bytes: Uint8Array, seed: bigint): bigint {
    const own = this.owns(bytes) ? bytes : this.copied(bytes);
    return BigInt.asUintN(64, this.call.checksum(own.byteOffset, own.length, seed));
  }

  /** Returns whether bytes are a view of the kernels' memory. */
  owns({ buffer }: Uint8Array): boolean {
    return buffer === this.buffers.payload.buffer;
  }

  private copied(bytes: Uint8Array): Uint8Array {
    const { payload } = this.buffers;
    if (bytes.length > payload.length) throw new RangeError('checksum takes at most 2 MiB at a time');
    payload.set(bytes);
    return payload.subarray(0, bytes.length);
  }
}

let shared: LosslessKernels | undefined;

/** Returns the calling thread's own instance, created on first use. */
export function losslessKernels(): LosslessKernels {
  shared ??= new LosslessKernels();
  return shared;
}

/** Returns the XXH64 of up to 2 MiB of bytes, computed by the calling thread's kernels. @throws {RangeError} for more. */
export function checksum(bytes: Uint8Array, seed = 0n): bigint {
  return losslessKernels().checksum(bytes, seed);
}

/** Bytes of a piece of {@link chainedChecksum}. */
export const PIECE_BYTES = 1 << 20;

/** Returns the checksum of any number of bytes: pieces one after the other, each with the checksum of the one before as its seed. */
export function chainedChecksum(bytes: Uint8Array, seed = 0n): bigint {
  let sum = seed;
  for (let start = 0; start < bytes.length; start += PIECE_BYTES)
    sum = checksum(bytes.subarray(start, start + PIECE_BYTES), sum);
  return sum;
}

/** Returns a checksum as 16 hexadecimal digits. */
export function hexOf(sum: bigint): string {
  return sum.toString(16).padStart(16, '0');
}
