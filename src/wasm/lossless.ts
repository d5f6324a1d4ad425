import { lossless } from './compiled/lossless.js';
import {
  DECODER_ENTRY_BYTES,
  DIFFERENCE_CLASSES,
  DIFFERENCE_SCALE_BITS,
  ENCODER_ENTRY_BYTES,
  STATES_BYTES,
  SYMBOL_SCALE_BITS,
  WIDE_STATES,
  WIDE_SYMBOLS,
} from './constants.js';
import {
  addressOf,
  type BufferSizes,
  type Buffers,
  type KernelExports,
  layOutBuffers,
  loadKernels,
} from './loader.js';

/** Maximum bytes of elements per block: 2^20. */
export const BLOCK_BYTES = 1 << 20;

/** Maximum number of symbols in a table; their values are below it. */
export const MAX_SYMBOLS = 1 << 13;

/** Number of symbols decoded between two checks of the stream's bounds. */
export const DECODE_CHUNK = 1 << 13;

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

/** While classes of differences are chosen, those of a magnitude below this have a count of their own. */
export const FINE_DIFFERENCES = 1 << 12;

/** Parts of a block in which the places of classes are counted apart (assembly/_difference.ts). */
const QUARTERS = 4;

/** Where the exponent lies in a bit pattern of at most 32 bits: `(pattern >> shift) & mask`, below the sign. Integers have mask 0. */
export interface ExponentField {
  readonly isFloat: boolean;
  readonly shift: number;
  readonly mask: number;
}

/** Differences of elements whose base has one of consecutive exponents. */
export interface DifferenceClass {
  /** The lowest exponent; the class ends where the next begins. */
  readonly from: number;
  /** Number of low bits that are not modeled. */
  readonly low: number;
  /** Frequencies of the 256 symbols, which sum to 2^12. */
  readonly frequencies: Uint32Array;
}

/** Views of the kernels' memory. */
export interface DifferenceParts {
  readonly lowBits: Uint8Array;
  readonly escapes: Uint8Array;
  readonly stream: Uint8Array;
}

/** Addresses. */
interface Range {
  readonly start: number;
  readonly end: number;
}

interface Exports extends KernelExports {
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
  countClasses(count: number, width: number, shift: number): void;
  // biome-ignore format: as above
  subtractBase(from: number, count: number, width: number, isFloat: boolean, shift: number): void;
  sumDifferences(first: number, count: number, width: number): number;
  countDifferences(bins: number, first: number, count: number, width: number, low: number): void;
  countZeros(first: number, count: number, width: number): number;
  setDifferenceBits(low: number, escapes: number): void;
  lowBitsEnd(): number;
  escapesEnd(): number;
  buildClassEncoder(ordinal: number, frequencies: number, wide: boolean): void;
  // biome-ignore format: as above
  splitDifferences(from: number, symbols: number, count: number, width: number, isFloat: boolean, shift: number): void;
  encodeDifferences(symbols: number, count: number, end: number, wide: boolean): number;
  startDifferences(stream: number, wide: boolean): void;
  differencesEndedAt(end: number): number;
  buildClassDecoder(to: number, frequencies: number): void;
  // biome-ignore format: as above
  decodeDifferences(to: number, symbols: number, first: number, count: number, width: number, isFloat: boolean, shift: number, without: number, end: number): boolean;
}

/** The decoder's table of a class of differences; the encoder's is as large. */
const CLASS_TABLE_BYTES = 4 << DIFFERENCE_SCALE_BITS;

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
  base: [Uint8Array, BLOCK_BYTES],
  classes: [Uint8Array, 512],
  lows: [Uint8Array, 512],
  decoders: [Uint32Array, 512],
  tables: [Uint8Array, DIFFERENCE_CLASSES * CLASS_TABLE_BYTES],
  differences: [Uint8Array, BLOCK_BYTES],
  places: [Uint32Array, QUARTERS * 256],
} as const satisfies BufferSizes;

/** Returns the bytes of the states of a stream of `count` symbols. */
export const statesBytes = (count: number) => (isWide(count) ? 4 * WIDE_STATES : STATES_BYTES);

const isWide = (count: number) => count >= WIDE_SYMBOLS;

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

  /** Sets the class of each exponent, with either sign. @param starts exponents that classes begin with, ascending from 0. */
  private setClasses(starts: readonly number[], { mask }: ExponentField): void {
    const { classes } = this.buffers;
    for (const [i, from] of starts.entries())
      for (const sign of [0, mask + 1]) classes.fill(i, sign + from, sign + mask + 1);
  }

  /**
   * Counts the elements of `base` in each class, and sets the places of their differences: those of a class behind all of the class before.
   * @param starts exponents that classes begin with, ascending from 0. @returns the counts.
   */
  countClasses(starts: readonly number[], count: number, width: number, field: ExponentField): number[] {
    const { places } = this.buffers;
    this.setClasses(starts, field);
    places.fill(0);
    this.call.countClasses(count, width, field.shift);
    let next = 0;
    return starts.map((_, i) => {
      const start = next;
      for (let at = i; at < places.length; at += 256) {
        const own = places[at]!;
        places[at] = next;
        next += own;
      }
      return next - start;
    });
  }

  /** Writes the differences of `elements` from `base` to `differences`, by class. */
  subtractBase(count: number, width: number, { isFloat, shift }: ExponentField): void {
    this.call.subtractBase(this.buffers.elements.byteOffset, count, width, isFloat, shift);
  }

  /** Returns the mean magnitude of differences, and the number of zeros among them. */
  measureDifferences(first: number, count: number, width: number): { mean: number; zeros: number } {
    const mean = this.call.sumDifferences(first, count, width) / count;
    return { mean, zeros: this.call.countZeros(first, count, width) };
  }

  /** Counts differences without their `low` bits, from -FINE_DIFFERENCES + 1 on; others in the first bin. @returns a view, valid until the next call. */
  countDifferences(first: number, count: number, width: number, low: number): Uint32Array {
    const bins = this.buffers.bins.subarray(0, 2 * FINE_DIFFERENCES).fill(0);
    this.call.countDifferences(bins.byteOffset, first, count, width, low);
    return bins;
  }

  /** Encodes `elements` as differences from `base`. @returns views of the memory, valid until the next call. */
  encodeDifferences(
    count: number,
    width: number,
    field: ExponentField,
    classes: readonly DifferenceClass[],
  ): DifferenceParts {
    const { call, buffers } = this;
    const { elements, heads, tails, symbols, payload, frequencies } = buffers;
    this.setLows(classes, field);
    for (const [i, own] of classes.entries()) {
      frequencies.set(own.frequencies);
      call.buildClassEncoder(i, frequencies.byteOffset, isWide(count));
    }
    heads.fill(0, 0, Math.ceil((count * Math.max(...classes.map(({ low }) => low))) / 8) + 8);
    call.setDifferenceBits(heads.byteOffset, tails.byteOffset);
    const { isFloat, shift } = field;
    call.splitDifferences(elements.byteOffset, symbols.byteOffset, count, width, isFloat, shift);
    const start = call.encodeDifferences(
      symbols.byteOffset,
      count,
      payload.byteOffset + payload.length,
      isWide(count),
    );
    return {
      lowBits: heads.subarray(0, call.lowBitsEnd() - heads.byteOffset),
      escapes: tails.subarray(0, call.escapesEnd() - tails.byteOffset),
      stream: payload.subarray(start - payload.byteOffset),
    };
  }

  /** Inverts encodeDifferences. The parts are views of `payload`. @returns false when they are too short or too long. */
  decodeDifferences(
    count: number,
    width: number,
    field: ExponentField,
    classes: readonly DifferenceClass[],
    parts: DifferenceParts,
  ): boolean {
    const { call, buffers } = this;
    const { elements, symbols, tables, frequencies, decoders } = buffers;
    this.setLows(classes, field);
    for (const [i, own] of classes.entries()) {
      frequencies.set(own.frequencies);
      call.buildClassDecoder(tables.byteOffset + i * CLASS_TABLE_BYTES, frequencies.byteOffset);
    }
    for (const [i, ordinal] of buffers.classes.entries())
      decoders[i] = tables.byteOffset + ordinal * CLASS_TABLE_BYTES;
    const lowBits = rangeOf(call, parts.lowBits);
    const escapes = rangeOf(call, parts.escapes);
    const stream = rangeOf(call, parts.stream);
    call.setDifferenceBits(lowBits.start, escapes.start);
    call.startDifferences(stream.start, isWide(count));
    const last = classes.findLastIndex(({ low }) => low > 0);
    const without = classes[last + 1]?.from ?? field.mask + 1;
    const { isFloat, shift } = field;
    for (let first = 0; first < count; first += DECODE_CHUNK) {
      const chunk = Math.min(DECODE_CHUNK, count - first);
      // biome-ignore format: the order of the arguments, on one line
      const isSound = call.decodeDifferences(elements.byteOffset, symbols.byteOffset, first, chunk, width, isFloat, shift, last < 0 ? 0 : without, stream.end);
      if (!isSound || call.lowBitsEnd() > lowBits.end || call.escapesEnd() > escapes.end) return false;
    }
    const isWhole = call.lowBitsEnd() === lowBits.end && call.escapesEnd() === escapes.end;
    return isWhole && Boolean(call.differencesEndedAt(stream.end));
  }

  /** Sets class and low bits of each exponent. */
  private setLows(classes: readonly DifferenceClass[], field: ExponentField): void {
    const starts = classes.map(({ from }) => from);
    this.setClasses(starts, field);
    const { lows } = this.buffers;
    for (const [i, ordinal] of this.buffers.classes.entries()) lows[i] = classes[ordinal]?.low ?? 0;
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

function rangeOf(call: Exports, view: Uint8Array): Range {
  const start = addressOf(call, view);
  return { start, end: start + view.length };
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
