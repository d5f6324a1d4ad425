import {
  DIFFERENCE_CENTER,
  DIFFERENCE_ESCAPE,
  DIFFERENCE_SCALE_BITS,
  DIFFERENCE_ZERO,
} from '../../wasm/constants.js';
import { FINE_DIFFERENCES } from '../../wasm/from-base.js';

/** The differences of a class of elements, counted by their bits above the `low` ones. */
export interface Spread {
  readonly low: number;
  /** The number of differences. */
  readonly count: number;
  /** The number of exact zeros, which are also in `counts`. */
  readonly zeros: number;
  /** The number of those too large for `counts`. */
  readonly large: number;
  /** The difference without its low bits that `counts` begins with. */
  readonly first: number;
  readonly counts: Uint32Array;
}

/** Returns the spread of differences from the counts of all that are below {@link FINE_DIFFERENCES}. */
export function spreadOf(bins: Uint32Array, count: number, zeros: number, low: number): Spread {
  let [from, end] = [1, bins.length];
  while (from < end && !bins[from]) from++;
  while (end > from && !bins[end - 1]) end--;
  return {
    low,
    count,
    zeros,
    large: bins[0]!,
    first: from - FINE_DIFFERENCES,
    counts: bins.slice(from, end),
  };
}

/** Returns the same differences with more low bits. */
export function coarser(spread: Spread, low: number): Spread {
  const { first, counts } = spread;
  const bits = low - spread.low;
  if (!bits || !counts.length) return { ...spread, low, first: first >> bits };
  const folded = new Uint32Array(((first + counts.length - 1) >> bits) - (first >> bits) + 1);
  for (let i = 0; i < counts.length; i++) folded[((first + i) >> bits) - (first >> bits)]! += counts[i]!;
  return { ...spread, low, first: first >> bits, counts: folded };
}

/** Returns all differences of two classes, with the low bits of the one that has more. */
export function joined(a: Spread, b: Spread): Spread {
  const low = Math.max(a.low, b.low);
  const both = [coarser(a, low), coarser(b, low)];
  const filled = both.filter(({ counts }) => counts.length);
  const first = filled.length ? Math.min(...filled.map((part) => part.first)) : 0;
  const end = filled.length ? Math.max(...filled.map((part) => part.first + part.counts.length)) : 0;
  const counts = new Uint32Array(end - first);
  for (const part of filled)
    for (let i = 0; i < part.counts.length; i++) counts[part.first - first + i]! += part.counts[i]!;
  return { low, first, counts, count: a.count + b.count, zeros: a.zeros + b.zeros, large: a.large + b.large };
}

/** Differences rarer than one in this many are escapes: their frequency would be far too large. */
const RAREST = 2 << DIFFERENCE_SCALE_BITS;

/** Returns the count of each symbol: those of differences with a symbol that are not too rare, exact zeros where there are low bits, and escapes. */
export function symbolCounts({ low, count, zeros, large, first, counts }: Spread): Uint32Array {
  const symbols = new Uint32Array(256);
  let escapes = large;
  for (let i = 0; i < counts.length; i++) {
    const symbol = first + i + DIFFERENCE_CENTER;
    const n = counts[i]! - (low && first + i === 0 ? zeros : 0);
    const isCoded = symbol > DIFFERENCE_ESCAPE && symbol < DIFFERENCE_ZERO && n * RAREST >= count;
    if (isCoded) symbols[symbol] = n;
    else escapes += n;
  }
  if (low) symbols[DIFFERENCE_ZERO] = zeros;
  symbols[DIFFERENCE_ESCAPE] = escapes;
  return symbols;
}

/** Bits of a class in the header, besides its symbols. */
const CLASS_BITS = 12;

/** Returns the bits that a class takes: entropy, table, low bits, and escapes of `width` bytes. */
export function bitsOf(spread: Spread, width: number): number {
  const symbols = symbolCounts(spread);
  const logCount = Math.log2(spread.count);
  let bits = CLASS_BITS;
  for (const n of symbols) {
    if (!n) continue;
    const information = logCount - Math.log2(n);
    bits += n * information + 3.5 + Math.max(0, DIFFERENCE_SCALE_BITS - information);
  }
  const [escapes, zeros] = [symbols[DIFFERENCE_ESCAPE]!, symbols[DIFFERENCE_ZERO]!];
  return bits + (spread.count - zeros - escapes) * spread.low + escapes * 8 * width;
}

/** Low bits that are tried beyond the first. */
export const LOW_TRIED = 8;

/** Bits per difference that low bits have to save: they are slow to decode. */
const LOW_COST = 0.12;

/** Returns the number of low bits that makes differences shortest, and their bits. */
export function shortest(spread: Spread, width: number): { readonly low: number; readonly bits: number } {
  let best = { low: spread.low, bits: bitsOf(spread, width) };
  for (let low = spread.low + 1; low <= spread.low + LOW_TRIED; low++) {
    const bits = bitsOf(coarser(spread, low), width) + (spread.low ? 0 : LOW_COST * spread.count);
    if (bits < best.bits) best = { low, bits };
    else if (low > best.low + 1) break; // it has one minimum, or nearly so
  }
  return best;
}
