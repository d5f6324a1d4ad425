import { BLOCK_BYTES, DECODE_CHUNK, isWide, statesBytes } from './blocks.js';
import { lossless } from './compiled/lossless.js';
import { DECODER_ENTRY_BYTES, ENCODER_ENTRY_BYTES, SYMBOL_SCALE_BITS } from './constants.js';
import { BASE_SIZES, type BaseExports, BaseKernels } from './from-base.js';
import { addressOf, type BufferSizes, type Buffers, layOutBuffers, loadKernels } from './loader.js';

export { BLOCK_BYTES, DECODE_CHUNK, statesBytes };

/** Maximum number of symbols in a table; their values are below it. */
export const MAX_SYMBOLS = 1 << 13;

/** Limits of records and walks: spec/wpk-v1.md, "Contexts". */
export const MAX_RECORD_SYMBOLS = 256;
export const MAX_CONTEXT_GROUP = 256;
export const MAX_LANES = 1 << 18;
export const MAX_CLASSES = 64;
export const MAX_GRADED_COLUMNS = 65535;
export const MAX_LEVELED_GROUPS = (1 << 18) + 1;
/** Number of contexts: 8 buckets of positions, 4 of extremes, 33 of means. */
export const CONTEXTS = 8 * 4 * 33;
/** Maximum number of symbols of a block: of 2 bits each. */
export const MAX_QUEUED = 4 * BLOCK_BYTES;

/** How groups lie among symbols. Leveled: their levels, in `levels`, are in the contexts instead of means. */
export interface ContextWalk {
  readonly group: number;
  readonly run: number;
  readonly lanes: number;
  readonly leveled: boolean;
}

/** A block of symbols below `symbols` in rows of `columns`, which begins in column `column`. */
export interface SymbolPlace {
  readonly column: number;
  readonly columns: number;
  readonly symbols: number;
}

/** Where the symbols of a block are: whole records of bytes from byte `start` of the elements on. */
export interface RecordPlace {
  readonly start: number;
  readonly records: number;
  readonly recordBytes: number;
}

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
  // biome-ignore format: as above
  shiftSymbols(symbols: number, first: number, count: number, column: number, columns: number, rows: number, columnShifts: number, others: number, sign: number, low: number): void;
  takeDifferences(at: number, count: number, width: number): void;
  addDifferences(at: number, count: number, width: number): void;
  setRecords(bytes: number, symbols: number, lowBits: number, highBits: number): void;
  // biome-ignore format: as above
  setWalk(group: number, run: number, lanes: number, inRun: number, lane: number, position: number, leveled: boolean): void;
  countContexts(at: number, records: number, contexts: number): void;
  splitContexts(at: number, records: number): void;
  mergeContexts(at: number, records: number): number;
  gatherBytes(from: number, step: number, length: number, records: number, to: number, bins: number): void;
  scatterBytes(to: number, step: number, length: number, first: number, count: number, from: number): void;
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
  // of contexts; pages that are not touched take no memory
  places: [Uint32Array, 2 * MAX_RECORD_SYMBOLS],
  updates: [Uint32Array, 256],
  buckets: [Uint8Array, MAX_GRADED_COLUMNS],
  reciprocals: [BigUint64Array, MAX_CONTEXT_GROUP + 1],
  lanes: [Uint32Array, MAX_LANES],
  levels: [Uint8Array, MAX_LEVELED_GROUPS],
  classes: [Uint8Array, CONTEXTS],
  cursors: [Uint32Array, 2 * MAX_CLASSES],
  queues: [Uint8Array, MAX_QUEUED],
  counts: [Uint32Array, CONTEXTS * 256],
} as const satisfies BufferSizes;

/** Padding after every buffer, for whole SIMD vectors and for a chunk of a damaged stream. */
const SLACK_BYTES = 4 * DECODE_CHUNK;

/**
 * The lossless codec's kernels and their memory of 20 MiB, 6 of which only contexts touch: one instance per thread, used by one block at a time.
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

  /**
   * Shifts the first `count` of `symbols`, number `first` of the block on, by `sign` times the shifts of their row (in `levels`) and column (in
   * `buckets`), then left by `low`. Symbols 0 stay.
   */
  shiftSymbols(
    { column, columns, symbols }: SymbolPlace,
    first: number,
    count: number,
    sign: 1 | -1,
    low: number,
  ): void {
    const { symbols: from, levels, buckets } = this.buffers;
    const [rowsAt, columnsAt] = [levels.byteOffset, buckets.byteOffset];
    // biome-ignore format: the order of the arguments
    this.call.shiftSymbols(from.byteOffset, first, count, column, columns, rowsAt, columnsAt, symbols - 1, sign, low);
  }

  /** Replaces integers of 2, 4 or 8 bytes by their differences, in zigzag order, and the first by 0. */
  takeDifferences(count: number, width: number): void {
    this.call.takeDifferences(this.buffers.elements.byteOffset, count, width);
  }

  /** Inverts takeDifferences, when the first integer is back in its place. */
  addDifferences(count: number, width: number): void {
    this.call.addDifferences(this.buffers.elements.byteOffset, count, width);
  }

  /** Sets records of `symbols` symbols each, whose parts have `lowBits` and `highBits`; their places are in `places`. */
  setRecords(recordBytes: number, symbols: number, lowBits: number, highBits: number): void {
    this.call.setRecords(recordBytes, symbols, lowBits, highBits);
  }

  /** Sets a walk and the place of its first symbol: in its run, its lane, and its group. */
  setWalk({ group, run, lanes, leveled }: ContextWalk, inRun: number, lane: number, position: number): void {
    this.call.setWalk(group, run, lanes, inRun, lane, position, leveled);
  }

  /** Counts symbols by context. @returns the counts: of each context one after another, of each symbol below 2^bits. */
  countContexts({ start, records }: RecordPlace): Uint32Array {
    this.call.countContexts(this.buffers.elements.byteOffset + start, records, CONTEXTS);
    return this.buffers.counts;
  }

  /** Appends every symbol to the queue of its class. @param starts offsets of the queues in `queues`. */
  splitContexts({ start, records }: RecordPlace, starts: readonly number[]): void {
    this.setQueues(starts, starts);
    this.call.splitContexts(this.buffers.elements.byteOffset + start, records);
  }

  /**
   * Takes every symbol from the queue of its class and adds it to records of zeros. @param starts offsets of the queues in `queues`.
   * @param ends offsets of their ends. @returns false for queues that another block must have had.
   */
  mergeContexts(
    { start, records }: RecordPlace,
    starts: readonly number[],
    ends: readonly number[],
  ): boolean {
    this.setQueues(starts, ends);
    return Boolean(this.call.mergeContexts(this.buffers.elements.byteOffset + start, records));
  }

  private setQueues(starts: readonly number[], ends: readonly number[]): void {
    const { cursors, queues } = this.buffers;
    starts.forEach((start, i) => {
      cursors[2 * i] = queues.byteOffset + start;
      cursors[2 * i + 1] = queues.byteOffset + ends[i]!;
    });
  }

  /** Writes bytes `from` to `from + length` of every record to `symbols`. @returns the count of each value. */
  gatherBytes({ start, records, recordBytes }: RecordPlace, from: number, length: number): Uint32Array {
    const { elements, symbols, bins } = this.buffers;
    const at = elements.byteOffset + start + from;
    this.call.gatherBytes(at, recordBytes, length, records, symbols.byteOffset, bins.byteOffset);
    return bins.subarray(0, 256);
  }

  /** Writes `count` of `symbols`, number `first` on, back to where gatherBytes found them. */
  scatterBytes(
    { start, recordBytes }: RecordPlace,
    from: number,
    length: number,
    first: number,
    count: number,
  ): void {
    const { elements, symbols } = this.buffers;
    const at = elements.byteOffset + start + from;
    this.call.scatterBytes(at, recordBytes, length, first, count, symbols.byteOffset);
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
