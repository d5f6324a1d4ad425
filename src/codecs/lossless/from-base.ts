import { DTYPE_BYTES, type Dtype } from '../../core/dtype.js';
import { sumOf } from '../../core/sum.js';
import {
  DIFFERENCE_CENTER,
  DIFFERENCE_CLASSES,
  DIFFERENCE_ESCAPE,
  DIFFERENCE_SCALE_BITS,
  DIFFERENCE_ZERO,
} from '../../wasm/constants.js';
import type { DifferenceClass, ExponentField } from '../../wasm/from-base.js';
import { type LosslessKernels, statesBytes } from '../../wasm/lossless.js';
import { BitReader, BitWriter } from './bits.js';
import { type FrequencyTable, normalize, readTableFrom, writeTableTo } from './frequencies.js';
import { coarser, joined, LOW_TRIED, type Spread, shortest, spreadOf, symbolCounts } from './spread.js';

// Elements as differences of ordinals from those of a base: docs/lossless.md, "Against a base"; spec/wpk-v1.md, "Difference".

/** Types of at most four bytes: where their exponent lies in the bit pattern. Integers have none. */
const FIELDS: Readonly<Partial<Record<Dtype, ExponentField>>> = {
  F32: { isFloat: true, shift: 23, mask: 0xff },
  BF16: { isFloat: true, shift: 7, mask: 0xff },
  F16: { isFloat: true, shift: 10, mask: 0x1f },
  F8_E4M3: { isFloat: true, shift: 3, mask: 0xf },
  F8_E5M2: { isFloat: true, shift: 2, mask: 0x1f },
  ...Object.fromEntries(
    (['I32', 'U32', 'I16', 'U16', 'I8', 'U8', 'BOOL'] as const).map((dtype) => [
      dtype,
      { isFloat: false, shift: 8 * DTYPE_BYTES[dtype] - 1, mask: 0 },
    ]),
  ),
};

/** Maximum low bits of a difference: with a symbol of 8 bits, they are all of 32. */
const MAX_LOW = 24;
/** Exponents with fewer elements share the class of a neighbor. */
const FEW = 24;

/** Returns whether elements of this type can be coded as differences. */
export const canDiffer = (dtype: Dtype) => dtype in FIELDS;

/**
 * Encodes the first `count` of the kernels' `elements` as differences from their `base`.
 * @returns the payload in pieces; undefined where it would not be shorter than the elements.
 */
export function encodeFromBase(
  kernels: LosslessKernels,
  count: number,
  dtype: Dtype,
): Uint8Array[] | undefined {
  const width = DTYPE_BYTES[dtype];
  const field = FIELDS[dtype]!;
  const classes = chooseClasses(kernels, count, width, field);
  if (!classes) return undefined;
  const tables = classes.map(({ symbols }) => tableOf(symbols));
  const coded = classes.map(({ from, low }, i) => ({ from, low, frequencies: frequenciesOf(tables[i]!) }));
  const { lowBits, escapes, stream } = kernels.fromBase.encode(count, width, field, coded);
  const head = new BitWriter();
  head.writeGamma(classes.length);
  head.writeGamma(1 + escapes.length / width);
  head.writeGamma(1 + lowBits.length);
  for (const [i, { from, low }] of classes.entries()) {
    if (i) head.writeGamma(from - classes[i - 1]!.from);
    head.write(low, 5);
    writeTableTo(head, tables[i]!);
  }
  return [head.finish(), escapes.slice(), lowBits.slice(), stream.slice()];
}

/** Returns the table of a class. It has two symbols at least: a stream is shared by classes, so each takes part in it. */
function tableOf(counts: Uint32Array): FrequencyTable {
  const table = normalize(counts, counts.length, DIFFERENCE_SCALE_BITS);
  if (table.symbols.length > 1) return table;
  const [symbol] = table.symbols;
  const other = symbol === DIFFERENCE_ESCAPE ? DIFFERENCE_CENTER : DIFFERENCE_ESCAPE;
  const most = (1 << DIFFERENCE_SCALE_BITS) - 1;
  return symbol! < other
    ? { symbols: [symbol!, other], frequencies: [most, 1] }
    : { symbols: [other, symbol!], frequencies: [1, most] };
}

function frequenciesOf({ symbols, frequencies }: FrequencyTable): Uint32Array {
  const all = new Uint32Array(256);
  for (const [i, symbol] of symbols.entries()) all[symbol] = frequencies[i]!;
  return all;
}

/**
 * Decodes a view of the kernels' `payload` to `elements`, given the kernels' `base`.
 * @throws {RangeError} when malformed.
 */
export function decodeFromBase(
  kernels: LosslessKernels,
  payload: Uint8Array,
  count: number,
  dtype: Dtype,
): void {
  const width = DTYPE_BYTES[dtype];
  const field = FIELDS[dtype];
  if (!field) throw new RangeError(`difference mode for ${dtype}`);
  const { classes, ...lengths } = readHead(payload, field);
  const lowAt = lengths.head + lengths.escapes * width;
  const streamAt = lowAt + lengths.lowBits;
  if (streamAt + statesBytes(count) > payload.length)
    throw new RangeError('differences longer than the payload');
  const isWhole = kernels.fromBase.decode(count, width, field, classes, {
    escapes: payload.subarray(lengths.head, lowAt),
    lowBits: payload.subarray(lowAt, streamAt),
    stream: payload.subarray(streamAt),
  });
  if (!isWhole) throw new RangeError('differences do not end with their last symbol');
}

function readHead(payload: Uint8Array, { mask }: ExponentField) {
  const head = new BitReader(payload);
  const count = head.readGamma();
  if (count > Math.min(mask + 1, DIFFERENCE_CLASSES)) throw new RangeError('too many classes of differences');
  const [escapes, lowBits] = [head.readGamma() - 1, head.readGamma() - 1];
  const classes: DifferenceClass[] = [];
  let from = 0;
  for (let i = 0; i < count; i++) {
    if (i) from += head.readGamma();
    const low = head.read(5);
    const table = readTableFrom(head, 256, DIFFERENCE_SCALE_BITS);
    const hasZero = table.symbols.at(-1) === DIFFERENCE_ZERO;
    if (from > mask || low > MAX_LOW || table.symbols.length < 2 || (hasZero && !low))
      throw new RangeError('malformed class of differences');
    classes.push({ from, low, frequencies: frequenciesOf(table) });
  }
  return { classes, escapes, lowBits, head: head.bytesRead };
}

/** A class with the counts of its symbols. */
interface ChosenClass extends Pick<DifferenceClass, 'from' | 'low'> {
  readonly symbols: Uint32Array;
}

/** A class while classes are chosen. */
interface Candidate {
  readonly from: number;
  readonly spread: Spread;
  readonly low: number;
  readonly bits: number;
}

/**
 * Returns the classes of consecutive exponents that make the differences shortest: every exponent is one at first, and neighbors are
 * joined while that saves more of their tables than it costs. Undefined where differences cannot be shorter than the elements.
 */
function chooseClasses(
  kernels: LosslessKernels,
  count: number,
  width: number,
  field: ExponentField,
): ChosenClass[] | undefined {
  const exponents = Array.from({ length: field.mask + 1 }, (_, exponent) => exponent);
  const runs = frequentRuns(kernels.fromBase.countClasses(exponents, count, width, field));
  kernels.fromBase.countClasses(
    runs.map(({ from }) => from),
    count,
    width,
    field,
  );
  kernels.fromBase.subtract(count, width, field);
  const candidates = runs.map(({ from, first, count: n }): Candidate => {
    const { mean, zeros } = kernels.fromBase.measureDifferences(first, n, width);
    const low = Math.max(0, Math.min(MAX_LOW - LOW_TRIED, Math.floor(Math.log2(mean + 1)) - 6));
    const spread = spreadOf(kernels.fromBase.countDifferences(first, n, width, low), n, zeros, low);
    return { from, spread, ...shortest(spread, width) };
  });
  if (sumOf(candidates, ({ bits }) => bits) > 1.1 * 8 * count * width) return undefined;
  joinNeighbors(candidates, width);
  return candidates.map(({ from, spread, low }) => ({
    from,
    low,
    symbols: symbolCounts(coarser(spread, low)),
  }));
}

/** Returns runs of exponents: each begins at an exponent with enough elements, but the first, which begins at 0. */
function frequentRuns(counts: readonly number[]): { from: number; first: number; count: number }[] {
  const runs: { from: number; first: number; count: number }[] = [];
  let before = 0;
  for (const [exponent, count] of counts.entries()) {
    const last = runs.at(-1);
    if (!last) runs.push({ from: 0, first: 0, count });
    else if (count >= FEW && last.count >= FEW) runs.push({ from: exponent, first: before, count });
    else last.count += count;
    before += count;
  }
  const [last, other] = [runs.at(-1)!, runs.at(-2)];
  if (last.count < FEW && other) {
    other.count += last.count;
    runs.pop();
  }
  return runs;
}

/** Joins neighbors, the pair that saves most first. */
function joinNeighbors(candidates: Candidate[], width: number): void {
  const join = (i: number): Candidate => {
    const spread = joined(candidates[i]!.spread, candidates[i + 1]!.spread);
    return { from: candidates[i]!.from, spread, ...shortest(spread, width) };
  };
  const pairs = candidates.slice(1).map((_, i) => join(i));
  const savedBy = (i: number) => candidates[i]!.bits + candidates[i + 1]!.bits - pairs[i]!.bits;
  while (pairs.length) {
    let best = 0;
    for (let i = 1; i < pairs.length; i++) if (savedBy(i) > savedBy(best)) best = i;
    if (savedBy(best) <= 0 && candidates.length <= DIFFERENCE_CLASSES) return;
    candidates.splice(best, 2, pairs[best]!);
    pairs.splice(best, 1);
    if (best > 0) pairs[best - 1] = join(best - 1);
    if (best < pairs.length) pairs[best] = join(best);
  }
}
