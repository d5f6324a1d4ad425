import { lossless } from './compiled.js';
import { DECODER_ENTRY_BYTES, ENCODER_ENTRY_BYTES, SYMBOL_SCALE_BITS } from './constants.js';
import {
  addressOf,
  type BufferSizes,
  type Buffers,
  type KernelExports,
  layOutBuffers,
  loadKernels,
} from './loader.js';

/** A block holds at most this many bytes of elements: 2^20. */
export const BLOCK_BYTES = 1 << 20;

/** Symbols a table may hold, and their largest value plus one. */
export const MAX_SYMBOLS = 1 << 13;

/** Symbols decoded between two looks at whether the stream is still within its bounds. */
export const DECODE_CHUNK = 1 << 13;

/**
 * Which bits of a float are modeled (docs/lossless.md, "Floats"). The top 16 bits of an element are its head:
 * sign, symbol bits, and `low` bits below them of which the last `zeros` are zero in the whole block. The rest is
 * the tail, of which only the top `tailBits` are not zero in the whole block.
 */
export interface FloatSplit {
  readonly low: number;
  readonly zeros: number;
  /** The sign is the symbol's top bit; else it is stored as it is. */
  readonly signed: boolean;
  readonly tailBits: number;
}

interface Exports extends KernelExports {
  buildEncoder(count: number): void;
  encode(count: number, end: number): number;
  buildDecoder(count: number): void;
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
  bins: [Uint32Array, 65536],
  frequencies: [Uint32Array, MAX_SYMBOLS],
  values: [Uint16Array, MAX_SYMBOLS],
  encoder: [Uint8Array, MAX_SYMBOLS * ENCODER_ENTRY_BYTES],
  slots: [Uint16Array, 1 << SYMBOL_SCALE_BITS],
  entries: [Uint8Array, MAX_SYMBOLS * DECODER_ENTRY_BYTES],
} as const satisfies BufferSizes;

/** Room behind every buffer for whole vectors, and for a chunk of a damaged stream. */
const SLACK_BYTES = 4 * DECODE_CHUNK;

/**
 * The lossless codec's kernels and their memory of 11 MiB: one instance per thread, used by one block at a time.
 * Kernels work on the first `count` elements, or on `count` from `first` on, of `width` bytes (1, 2, 4 or 8) each.
 */
export class LosslessKernels {
  private readonly call = loadKernels<Exports>(lossless);
  /** Views of the memory, which is fixed in size. Encoded streams end where `payload` does. */
  readonly buffers: Buffers<typeof SIZES> = layOutBuffers(this.call, SIZES, SLACK_BYTES);
  private streamEnd = 0;

  /** Counts values of the top 16 bits of elements, less their last `shift` bits. @returns the counts, and the OR of all elements. */
  countHeads(count: number, width: number, shift: number): { heads: Uint32Array; seen: bigint } {
    const seen = BigInt.asUintN(64, this.call.countHeads(count, width, shift));
    return { heads: this.buffers.bins.subarray(0, 65536 >> shift), seen };
  }

  /** Writes byte `plane` of every element to `symbols`. @returns how often each value occurs. */
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

  /** Undoes splitFloats. `symbols` are shifted left by `low`; `heads` and `tails` are views of `payload`. */
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

  /** Codes `count` of `symbols` by the `frequencies` of all below `limit`. @returns a view, valid until the next use. */
  encode(count: number, limit: number): Uint8Array {
    const { payload } = this.buffers;
    this.call.buildEncoder(limit);
    const end = payload.byteOffset + payload.length;
    return payload.subarray(this.call.encode(count, end) - payload.byteOffset);
  }

  /** Begins to decode a view of `payload`, by the first `count` of `frequencies` and the `values` they stand for. */
  startDecoding(stream: Uint8Array, count: number): void {
    this.call.buildDecoder(count);
    this.call.startDecoding(addressOf(this.call, stream));
    this.streamEnd = stream.byteOffset + stream.length;
  }

  /** Decodes the next values to `symbols`: DECODE_CHUNK, or what is left. @returns false when the stream is too short. */
  decode(count: number): boolean {
    return Boolean(this.call.decode(count, this.streamEnd));
  }

  /** True when the stream ends with what was decoded last. */
  streamEnded(): boolean {
    return Boolean(this.call.endedAt(this.streamEnd));
  }

  /** XXH64 of the first bytes of `elements`. */
  elementsDigest(length: number): bigint {
    return BigInt.asUintN(64, this.call.checksum(this.buffers.elements.byteOffset, length, 0n));
  }

  /** XXH64 of bytes of any length up to 2 MiB. */
  checksum(bytes: Uint8Array, seed: bigint): bigint {
    const { payload } = this.buffers;
    if (bytes.length > payload.length) throw new RangeError('checksum takes at most 2 MiB at a time');
    payload.set(bytes);
    return BigInt.asUintN(64, this.call.checksum(payload.byteOffset, bytes.length, seed));
  }
}

let shared: LosslessKernels | undefined;

/** The calling thread's own instance, made on first use. */
export function losslessKernels(): LosslessKernels {
  shared ??= new LosslessKernels();
  return shared;
}

/** XXH64 of bytes of any length up to 2 MiB, by the calling thread's kernels. */
export function checksum(bytes: Uint8Array, seed = 0n): bigint {
  return losslessKernels().checksum(bytes, seed);
}
