import { SYMBOL_SCALE_BITS } from '../../wasm/constants.js';
import { BitReader, BitWriter, unzigzag, zigzag } from './bits.js';
import type { FrequencyTable } from './frequencies.js';

// Tables of classes as what differs from the table of all symbols: a factor for each, in eighths of an octave, which changes little from one
// symbol to the next. spec/wpk-v1.md, "Relative table".

const SCALE = 1 << SYMBOL_SCALE_BITS;
const PER_OCTAVE = 8;
/** The factor of a symbol that the class does not have; others are larger, up to MAX_FACTOR. */
const ABSENT = -40;
const MAX_FACTOR = 40;
/** 2^(i / 8), times 2^20. */
const POWERS = [1048576, 1143480, 1246974, 1359834, 1482910, 1617125, 1763487, 1923096];
/** Bits that a symbol costs if its factor is wrong by 1, by half the square of the logarithm. */
const SQUARE_COST = (Math.LN2 / PER_OCTAVE) ** 2 / 2 / Math.LN2;
/** So many missing symbols in a row are left out; fewer cost less than saying so. */
const MIN_GAP = 4;

/** Returns the table that factors make of a base, if any symbol has one. */
export function scaleTable(base: FrequencyTable, factors: readonly number[]): FrequencyTable {
  const kept = base.symbols.map((_, i) => i).filter((i) => factors[i]! > ABSENT);
  const weights = kept.map((i) => {
    const octaves = Math.floor(factors[i]! / PER_OCTAVE);
    return (
      base.frequencies[i]! *
      POWERS[factors[i]! - octaves * PER_OCTAVE]! *
      2 ** (octaves - ABSENT / PER_OCTAVE)
    );
  });
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const frequencies = weights.map((weight) => Math.max(1, Math.floor((weight / total) * SCALE + 0.5)));
  let excess = frequencies.reduce((sum, f) => sum + f, -SCALE);
  for (const step = Math.sign(excess); excess !== 0; excess -= step)
    frequencies[frequencies.indexOf(Math.max(...frequencies))]! -= step;
  return { symbols: kept.map((i) => base.symbols[i]!), frequencies };
}

/** Returns factors for the counts of a class, whose symbols are all in the base: as exact as pays. */
export function chooseFactors(base: FrequencyTable, counts: ArrayLike<number>): number[] {
  const own = base.symbols.map((symbol) => counts[symbol]!);
  const total = own.reduce((sum, count) => sum + count, 0);
  const factors: number[] = [];
  let before = 0;
  for (const [i, count] of own.entries()) {
    if (!count) {
      if (gapAt(own, i) >= MIN_GAP) factors.push(ABSENT);
      else factors.push(factors[i - 1] ?? before);
      continue;
    }
    const exact = PER_OCTAVE * Math.log2((count / total) * (SCALE / base.frequencies[i]!));
    const last = factors[i - 1] ?? before;
    const near = Math.max(ABSENT + 1, Math.min(MAX_FACTOR, Math.round(exact)));
    const cost = (factor: number) =>
      count * SQUARE_COST * (exact - factor) ** 2 + gammaBits(1 + zigzag(factor - last));
    before = last > ABSENT && cost(last) < cost(near) ? last : near;
    factors.push(before);
  }
  return factors;
}

/** Returns the length of the run of zeros around index i. */
function gapAt(own: readonly number[], i: number): number {
  let [start, end] = [i, i + 1];
  while (start > 0 && !own[start - 1]) start--;
  while (end < own.length && !own[end]) end++;
  return end - start;
}

export function writeFactors(factors: readonly number[]): Uint8Array {
  const bits = new BitWriter();
  let last = 0;
  for (const factor of factors) {
    bits.writeGamma(1 + zigzag(factor - last));
    last = factor;
  }
  return bits.finish();
}

/**
 * Reads the factors of a base's symbols from the start of `bytes`.
 * @throws {RangeError} when they are truncated, out of range, or all absent.
 */
export function readFactors(
  bytes: Uint8Array,
  base: FrequencyTable,
): { readonly factors: readonly number[]; readonly lengthBytes: number } {
  const bits = new BitReader(bytes);
  let last = 0;
  const factors = base.symbols.map(() => {
    last += unzigzag(bits.readGamma() - 1);
    if (last < ABSENT || last > MAX_FACTOR) throw new RangeError('factor out of range');
    return last;
  });
  if (factors.every((factor) => factor === ABSENT)) throw new RangeError('table without a symbol');
  return { factors, lengthBytes: bits.bytesRead };
}

const gammaBits = (value: number) => 2 * (31 - Math.clz32(value)) + 1;
