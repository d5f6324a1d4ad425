import { BLOCK_BYTES, DECODE_CHUNK, isWide } from './blocks.js';
import { DIFFERENCE_CLASSES, DIFFERENCE_SCALE_BITS } from './constants.js';
import { addressOf, type BufferSizes, type Buffers, type KernelExports } from './loader.js';

/** While classes of differences are chosen, those of a magnitude below this have a count of their own. */
export const FINE_DIFFERENCES = 1 << 12;

/** Parts of a block in which the places of classes are counted apart (assembly/_base.ts). */
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

/** What the module exports for these kernels (assembly/_base.ts). */
export interface BaseExports extends KernelExports {
  countBaseClasses(count: number, width: number, shift: number): void;
  // biome-ignore format: as above
  subtractBase(from: number, count: number, width: number, isFloat: boolean, shift: number): void;
  sumBaseDifferences(first: number, count: number, width: number): number;
  countBaseDifferences(bins: number, first: number, count: number, width: number, low: number): void;
  countBaseZeros(first: number, count: number, width: number): number;
  setBaseBits(low: number, escapes: number): void;
  baseLowBitsEnd(): number;
  baseEscapesEnd(): number;
  buildBaseEncoder(ordinal: number, frequencies: number, wide: boolean): void;
  // biome-ignore format: as above
  splitFromBase(from: number, symbols: number, count: number, width: number, isFloat: boolean, shift: number): void;
  encodeFromBase(symbols: number, count: number, end: number, wide: boolean): number;
  startFromBase(stream: number, wide: boolean): void;
  fromBaseEndedAt(end: number): number;
  buildBaseDecoder(to: number, frequencies: number): void;
  // biome-ignore format: as above
  decodeFromBase(to: number, symbols: number, first: number, count: number, width: number, isFloat: boolean, shift: number, without: number, end: number): boolean;
}

/** The decoder's table of a class of differences; the encoder's is as large. */
const CLASS_TABLE_BYTES = 4 << DIFFERENCE_SCALE_BITS;

/** The buffers of these kernels alone. */
export const BASE_SIZES = {
  base: [Uint8Array, BLOCK_BYTES],
  baseClasses: [Uint8Array, 512],
  baseLows: [Uint8Array, 512],
  baseDecoders: [Uint32Array, 512],
  baseTables: [Uint8Array, DIFFERENCE_CLASSES * CLASS_TABLE_BYTES],
  baseDifferences: [Uint8Array, BLOCK_BYTES],
  basePlaces: [Uint32Array, QUARTERS * 256],
} as const satisfies BufferSizes;

/** Buffers of the lossless kernels that these use too. */
type SharedBuffers = Buffers<{
  readonly [Name in 'elements' | 'heads' | 'tails' | 'payload']: readonly [typeof Uint8Array, number];
}> &
  Buffers<{ readonly symbols: readonly [typeof Uint16Array, number] }> &
  Buffers<{ readonly [Name in 'bins' | 'frequencies']: readonly [typeof Uint32Array, number] }>;

/** Kernels for blocks whose elements are differences from a base, in the memory of the lossless kernels. */
export class BaseKernels {
  constructor(
    private readonly call: BaseExports,
    readonly buffers: SharedBuffers & Buffers<typeof BASE_SIZES>,
  ) {}

  /** Sets the class of each exponent, with either sign. @param starts exponents that classes begin with, ascending from 0. */
  private setClasses(starts: readonly number[], { mask }: ExponentField): void {
    const { baseClasses } = this.buffers;
    for (const [i, from] of starts.entries())
      for (const sign of [0, mask + 1]) baseClasses.fill(i, sign + from, sign + mask + 1);
  }

  /**
   * Counts the elements of `base` in each class, and sets the places of their differences: those of a class behind all of the class before.
   * @param starts exponents that classes begin with, ascending from 0. @returns the counts.
   */
  countClasses(starts: readonly number[], count: number, width: number, field: ExponentField): number[] {
    const { basePlaces: places } = this.buffers;
    this.setClasses(starts, field);
    places.fill(0);
    this.call.countBaseClasses(count, width, field.shift);
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

  /** Writes the differences of `elements` from `base` to `baseDifferences`, by class. */
  subtract(count: number, width: number, { isFloat, shift }: ExponentField): void {
    this.call.subtractBase(this.buffers.elements.byteOffset, count, width, isFloat, shift);
  }

  /** Returns the mean magnitude of differences, and the number of zeros among them. */
  measureDifferences(first: number, count: number, width: number): { mean: number; zeros: number } {
    const mean = this.call.sumBaseDifferences(first, count, width) / count;
    return { mean, zeros: this.call.countBaseZeros(first, count, width) };
  }

  /** Counts differences without their `low` bits, from -FINE_DIFFERENCES + 1 on; others in the first bin. @returns a view, valid until the next call. */
  countDifferences(first: number, count: number, width: number, low: number): Uint32Array {
    const bins = this.buffers.bins.subarray(0, 2 * FINE_DIFFERENCES).fill(0);
    this.call.countBaseDifferences(bins.byteOffset, first, count, width, low);
    return bins;
  }

  /** Encodes `elements` as differences from `base`. @returns views of the memory, valid until the next call. */
  encode(
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
      call.buildBaseEncoder(i, frequencies.byteOffset, isWide(count));
    }
    heads.fill(0, 0, Math.ceil((count * Math.max(...classes.map(({ low }) => low))) / 8) + 8);
    call.setBaseBits(heads.byteOffset, tails.byteOffset);
    const { isFloat, shift } = field;
    call.splitFromBase(elements.byteOffset, symbols.byteOffset, count, width, isFloat, shift);
    const start = call.encodeFromBase(
      symbols.byteOffset,
      count,
      payload.byteOffset + payload.length,
      isWide(count),
    );
    return {
      lowBits: heads.subarray(0, call.baseLowBitsEnd() - heads.byteOffset),
      escapes: tails.subarray(0, call.baseEscapesEnd() - tails.byteOffset),
      stream: payload.subarray(start - payload.byteOffset),
    };
  }

  /** Inverts encode. The parts are views of `payload`. @returns false when they are too short or too long. */
  decode(
    count: number,
    width: number,
    field: ExponentField,
    classes: readonly DifferenceClass[],
    parts: DifferenceParts,
  ): boolean {
    const { call, buffers } = this;
    const { elements, symbols, baseTables: tables, frequencies, baseDecoders: decoders } = buffers;
    this.setLows(classes, field);
    for (const [i, own] of classes.entries()) {
      frequencies.set(own.frequencies);
      call.buildBaseDecoder(tables.byteOffset + i * CLASS_TABLE_BYTES, frequencies.byteOffset);
    }
    for (const [i, ordinal] of buffers.baseClasses.entries())
      decoders[i] = tables.byteOffset + ordinal * CLASS_TABLE_BYTES;
    const lowBits = rangeOf(call, parts.lowBits);
    const escapes = rangeOf(call, parts.escapes);
    const stream = rangeOf(call, parts.stream);
    call.setBaseBits(lowBits.start, escapes.start);
    call.startFromBase(stream.start, isWide(count));
    const last = classes.findLastIndex(({ low }) => low > 0);
    const without = classes[last + 1]?.from ?? field.mask + 1;
    const { isFloat, shift } = field;
    for (let first = 0; first < count; first += DECODE_CHUNK) {
      const chunk = Math.min(DECODE_CHUNK, count - first);
      // biome-ignore format: the order of the arguments, on one line
      const isSound = call.decodeFromBase(elements.byteOffset, symbols.byteOffset, first, chunk, width, isFloat, shift, last < 0 ? 0 : without, stream.end);
      if (!isSound || call.baseLowBitsEnd() > lowBits.end || call.baseEscapesEnd() > escapes.end)
        return false;
    }
    const isWhole = call.baseLowBitsEnd() === lowBits.end && call.baseEscapesEnd() === escapes.end;
    return isWhole && Boolean(call.fromBaseEndedAt(stream.end));
  }

  /** Sets class and low bits of each exponent. */
  private setLows(classes: readonly DifferenceClass[], field: ExponentField): void {
    const starts = classes.map(({ from }) => from);
    this.setClasses(starts, field);
    const { baseLows: lows } = this.buffers;
    for (const [i, ordinal] of this.buffers.baseClasses.entries()) lows[i] = classes[ordinal]?.low ?? 0;
  }
}

function rangeOf(call: KernelExports, view: Uint8Array): Range {
  const start = addressOf(call, view);
  return { start, end: start + view.length };
}
