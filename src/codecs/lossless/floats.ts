import { DTYPE_BYTES, type Dtype } from '../../core/dtype.js';
import { SYMBOL_SCALE_BITS } from '../../wasm/constants.js';
import type { FloatSplit, LosslessKernels } from '../../wasm/lossless.js';
import { encodeSymbols, SymbolDecoder } from './stream.js';

/** Exponent bits of the float types that are split; others are coded as byte planes. */
export const EXPONENT_BITS: Readonly<Partial<Record<Dtype, number>>> = { F64: 11, F32: 8, BF16: 8, F16: 5 };

export const LOWEST_LOW = 2; // symbols of at most 13 bits

/** Returns the number of raw bits of the head: those between symbol and zeros, and the sign when it is not modeled. */
export const rawHeadBits = ({ low, zeros, signed }: FloatSplit) => low - zeros + (signed ? 0 : 1);

/** Returns the size of the symbol alphabet. */
export const alphabet = ({ low, signed }: FloatSplit) => 1 << (15 - low + (signed ? 1 : 0));

/** Returns the length of a packed plane, in which groups of eight fields are whole bytes. */
export const planeBytes = (count: number, bits: number) => ((count + 7) >> 3) * bits;

/** In a block this large with signs this balanced, modeling the sign saves nothing. */
const LARGE = 1 << 15;
const EVEN = 0.05;

/** A split, its expected cost, and the counts of its symbols. */
export interface ChosenSplit extends FloatSplit {
  readonly bits: number;
  readonly bins: Uint32Array;
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
  let best: ChosenSplit | undefined;
  const consider = (low: number, signed: boolean, bins: Uint32Array) => {
    const split = { low, zeros: Math.min(headZeros, low), signed, tailBits };
    const bits = codedBits(bins, count) + count * (rawHeadBits(split) + tailBits);
    if (!best || bits < best.bits) best = { ...split, bits, bins };
  };
  const mostLow = 15 - EXPONENT_BITS[dtype]!;
  const negative = sum(heads, heads.length / 2) / count;
  const trySigned = count < LARGE || Math.abs(negative - 0.5) > EVEN;
  let magnitudes = addHalves(heads);
  let withSigns = heads;
  for (let low = LOWEST_LOW; low <= mostLow; low++) {
    consider(low, false, magnitudes);
    if (trySigned && low > LOWEST_LOW) consider(low, true, withSigns);
    magnitudes = fold(magnitudes);
    if (trySigned) withSigns = fold(withSigns);
  }
  return best!;
}

/** Encodes the first `count` of the kernels' `elements`. @returns the payload in pieces; some are views of the kernels' memory. */
export function encodeFloats(kernels: LosslessKernels, count: number, dtype: Dtype): Uint8Array[] {
  const width = DTYPE_BYTES[dtype];
  const { heads, seen } = kernels.countHeads(count, width, LOWEST_LOW);
  const split = chooseSplit(heads, seen, count, dtype);
  kernels.splitFloats(count, width, split);
  const { low, zeros, signed, tailBits } = split;
  const { table, stream } = encodeSymbols(kernels, count, split.bins);
  return [
    Uint8Array.of(low | (zeros << 4), tailBits | (Number(signed) << 7)),
    table,
    kernels.buffers.heads.subarray(0, planeBytes(count, rawHeadBits(split))),
    kernels.buffers.tails.subarray(0, planeBytes(count, tailBits)),
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
  symbols.decode(count, low, symbols.rest.subarray(streamStart), (from, chunk) =>
    kernels.mergeFloats(from, chunk, width, split, heads, tails),
  );
}

/** Returns the order-0 entropy times `count` plus the cost of the table, in bits. */
function codedBits(bins: Uint32Array, count: number): number {
  const logCount = Math.log2(count);
  let bits = 0;
  let symbols = 0;
  for (let i = 0; i < bins.length; i++) {
    const n = bins[i]!;
    if (n) {
      const information = logCount - Math.log2(n);
      // the symbol's distance, the length of its frequency, and that frequency's bits: see writeTable
      bits += n * information + 3.5 + Math.max(0, SYMBOL_SCALE_BITS - information);
      symbols++;
    }
  }
  return symbols > 1 ? bits + 128 : bits;
}

/** Merges bins whose indices differ only in the last bit. */
function fold(bins: Uint32Array): Uint32Array {
  const folded = new Uint32Array(bins.length / 2);
  for (let i = 0; i < folded.length; i++) folded[i] = bins[2 * i]! + bins[2 * i + 1]!;
  return folded;
}

/** Merges bins whose indices differ only in the first bit, the sign. */
function addHalves(bins: Uint32Array): Uint32Array {
  const half = bins.length / 2;
  const merged = bins.slice(0, half);
  for (let i = 0; i < half; i++) merged[i]! += bins[half + i]!;
  return merged;
}

function sum(bins: Uint32Array, from: number): number {
  let total = 0;
  for (let i = from; i < bins.length; i++) total += bins[i]!;
  return total;
}

function trailingZeros(x: bigint, width: number): number {
  const low = Number(x & 0xffffffffn);
  if (low) return 31 - Math.clz32(low & -low);
  const high = Number((x >> 32n) & 0xffffffffn);
  return high ? 63 - Math.clz32(high & -high) : width;
}
