import { DTYPE_BYTES, type Dtype } from '../../core/dtype.js';
import { SYMBOL_SCALE_BITS } from '../../wasm/constants.js';
import type { FloatSplit, LosslessKernels } from '../../wasm/lossless.js';
import { type CodedSymbols, encodeSymbols, SymbolDecoder, type TakeChunk } from './stream.js';

/** Exponent bits of the float types that are split; others are coded as byte planes. */
export const EXPONENT_BITS: Readonly<Partial<Record<Dtype, number>>> = { F64: 11, F32: 8, BF16: 8, F16: 5 };

export const LOWEST_LOW = 2; // symbols of at most 13 bits

/** Returns the number of raw bits of the head: those between symbol and zeros, and the sign when it is not modeled. */
const rawHeadBits = ({ low, zeros, signed }: FloatSplit) => low - zeros + (signed ? 0 : 1);

/** Returns the size of the symbol alphabet. */
export const alphabet = ({ low, signed }: FloatSplit) => 1 << (15 - low + (signed ? 1 : 0));

/** Returns the length of a packed plane, in which groups of eight fields are whole bytes. */
const planeBytes = (count: number, bits: number) => ((count + 7) >> 3) * bits;

/** In a block this large with signs this balanced, modeling the sign saves nothing. */
const LARGE = 1 << 15;
const EVEN = 0.05;

/** A split, its expected cost, and the counts of its symbols. */
export interface ChosenSplit extends FloatSplit {
  readonly bits: number;
  readonly bins: Uint32Array;
}

/** The symbols that occur, ascending, and their counts. */
interface Counts {
  readonly symbols: readonly number[];
  readonly counts: readonly number[];
}

/**
 * Returns the cheapest split of `count` elements, by order-0 entropy and the table's cost.
 * @param heads counts of each value of the top 14 bits. @param seen bitwise OR of all elements.
 */
export function chooseSplit(heads: Uint32Array, seen: bigint, count: number, dtype: Dtype): ChosenSplit {
  const tailWidth = DTYPE_BYTES[dtype] * 8 - 16;
  const trailing = trailingZeros(seen, tailWidth + 16);
  const tailBits = Math.max(0, tailWidth - trailing);
  const headZeros = Math.max(0, trailing - tailWidth);
  let best: (FloatSplit & { readonly bits: number; readonly own: Counts }) | undefined;
  const consider = (low: number, signed: boolean, own: Counts) => {
    const split = { low, zeros: Math.min(headZeros, low), signed, tailBits };
    const bits = codedBits(own, count) + count * (rawHeadBits(split) + tailBits);
    if (!best || bits < best.bits) best = { ...split, bits, own };
  };
  const mostLow = 15 - EXPONENT_BITS[dtype]!;
  const [positive, negative] = [heads.subarray(0, heads.length / 2), heads.subarray(heads.length / 2)];
  const trySigned = count < LARGE || Math.abs(sum(negative) / count - 0.5) > EVEN;
  let magnitudes = countsOf(added(positive, negative));
  let withSigns = countsOf(trySigned ? heads : heads.subarray(0, 0));
  for (let low = LOWEST_LOW; low <= mostLow; low++) {
    consider(low, false, magnitudes);
    if (trySigned && low > LOWEST_LOW) consider(low, true, withSigns);
    magnitudes = fold(magnitudes);
    withSigns = fold(withSigns);
  }
  const { own, ...split } = best!;
  const bins = new Uint32Array(alphabet(split));
  for (let i = 0; i < own.symbols.length; i++) bins[own.symbols[i]!] = own.counts[i]!;
  return { ...split, bins };
}

/** Encodes the first `count` of the kernels' `elements`. @returns the payload in pieces; some are views of the kernels' memory. */
export function encodeFloats(kernels: LosslessKernels, count: number, dtype: Dtype): Uint8Array[] {
  const width = DTYPE_BYTES[dtype];
  const { heads, seen } = kernels.countHeads(count, width, LOWEST_LOW);
  const split = chooseSplit(heads, seen, count, dtype);
  kernels.splitFloats(count, width, split);
  return splitPieces(kernels, count, split, encodeSymbols(kernels, count, split.bins));
}

/** Returns the pieces of a payload of split floats, whose symbols are coded. */
export function splitPieces(
  { buffers }: LosslessKernels,
  count: number,
  split: FloatSplit,
  { table, stream }: CodedSymbols,
): Uint8Array[] {
  const { low, zeros, signed, tailBits } = split;
  return [
    Uint8Array.of(low | (zeros << 4), tailBits | (Number(signed) << 7)),
    table,
    buffers.heads.subarray(0, planeBytes(count, rawHeadBits(split))),
    buffers.tails.subarray(0, planeBytes(count, tailBits)),
    stream,
  ];
}

/** Decodes a view of the kernels' `payload` to `elements`. @throws {RangeError} when malformed. */
export function decodeFloats(
  kernels: LosslessKernels,
  payload: Uint8Array,
  count: number,
  dtype: Dtype,
): void {
  const { split, symbols, stream, merge } = openSplit(kernels, payload, count, dtype);
  symbols.decode(count, split.low, stream, merge);
}

/** Reads the split of a payload, and says what restores its floats. @throws {RangeError} when malformed. */
export function openSplit(kernels: LosslessKernels, payload: Uint8Array, count: number, dtype: Dtype) {
  const width = DTYPE_BYTES[dtype];
  const [first = 0, second = 0] = payload;
  const split = { low: first & 15, zeros: first >> 4, signed: second > 127, tailBits: second & 127 };
  const { low, zeros, signed, tailBits } = split;
  if (
    low < LOWEST_LOW + Number(signed) ||
    zeros > low ||
    tailBits > width * 8 - 16 ||
    !(dtype in EXPONENT_BITS)
  )
    throw new RangeError('invalid split of floats');
  const symbols = new SymbolDecoder(kernels, payload.subarray(2), alphabet(split));
  const tailsStart = planeBytes(count, rawHeadBits(split));
  const streamStart = tailsStart + planeBytes(count, tailBits);
  if (streamStart > symbols.rest.length) throw new RangeError('planes longer than the payload');
  const [heads, tails] = [symbols.rest, symbols.rest.subarray(tailsStart)];
  /** Merges symbols that are shifted left by `low`. */
  const merge: TakeChunk = (from, chunk) => kernels.mergeFloats(from, chunk, width, split, heads, tails);
  return { split, symbols, stream: symbols.rest.subarray(streamStart), merge };
}

/** Returns the order-0 entropy times `count` plus the cost of the table, in bits. */
function codedBits({ counts }: Counts, count: number): number {
  const logCount = Math.log2(count);
  let bits = 0;
  for (let i = 0; i < counts.length; i++) {
    const n = counts[i]!;
    const information = logCount - Math.log2(n);
    // the symbol's distance, the length of its frequency, and that frequency's bits: see writeTable
    bits += n * information + 3.5 + Math.max(0, SYMBOL_SCALE_BITS - information);
  }
  return counts.length > 1 ? bits + 128 : bits;
}

/** Returns the symbols that occur. */
function countsOf(bins: Uint32Array): Counts {
  const symbols: number[] = [];
  const counts: number[] = [];
  for (let symbol = 0; symbol < bins.length; symbol++) {
    const n = bins[symbol]!;
    if (n) {
      symbols.push(symbol);
      counts.push(n);
    }
  }
  return { symbols, counts };
}

function added(first: Uint32Array, second: Uint32Array): Uint32Array {
  const both = first.slice();
  for (let i = 0; i < both.length; i++) both[i]! += second[i]!;
  return both;
}

/** Merges symbols that differ only in the last bit. */
function fold({ symbols, counts }: Counts): Counts {
  const folded: number[] = [];
  const sums: number[] = [];
  for (let i = 0; i < symbols.length; i++) {
    const symbol = symbols[i]! >> 1;
    const hasPair = i + 1 < symbols.length && symbols[i + 1]! >> 1 === symbol;
    folded.push(symbol);
    sums.push(hasPair ? counts[i]! + counts[++i]! : counts[i]!);
  }
  return { symbols: folded, counts: sums };
}

function sum(bins: Uint32Array): number {
  let total = 0;
  for (let i = 0; i < bins.length; i++) total += bins[i]!;
  return total;
}

function trailingZeros(x: bigint, width: number): number {
  const low = Number(x & 0xffffffffn);
  if (low) return 31 - Math.clz32(low & -low);
  const high = Number((x >> 32n) & 0xffffffffn);
  return high ? 63 - Math.clz32(high & -high) : width;
}
