import { DTYPE_BYTES } from '../../core/dtype.js';
import { type LosslessKernels, MAX_LANES } from '../../wasm/lossless.js';
import type { Block } from './block.js';
import { expectedBits } from './clusters.js';
import { type ByteBlock, countByContext, placeRecords, prepare, VALUES, type Walk } from './contexts.js';
import { BYTES, ggmlRecords, NIBBLES, type Records, symbolBits } from './records.js';

// Which symbols a block of integers has, and which groups: what a sample of it says.

/** How a block may be coded by contexts. */
export interface Candidate {
  readonly records: Records;
  readonly walk: Walk;
}

/** Symbols of the sample. Rows of packed columns are long: fewer would be of a few rows. */
const SAMPLE = 1 << 17;
/** Shorter blocks do not pay for the tables. */
const MIN_SYMBOLS = 1 << 12;
/** Group sizes of formats that pack nibbles. */
const GROUPS = [16, 32, 64, 128];
const WORD_NIBBLES = 8;

/** Returns the candidate with the fewest bits in a sample of the kernels' `elements`, if contexts save anything. */
export function chooseWalk(kernels: LosslessKernels, block: Block): Candidate | undefined {
  const ggml = block.dtype === 'U8' ? ggmlRecords(block.columns) : undefined;
  if (ggml && enough(ggml, block)) {
    const plain = VALUES.map((_, kind) => walkOf(ggml, kind, ggml.group));
    const leveled = ggml.levels ? plain.map((walk) => ({ ...walk, levels: ggml.levels! })) : [];
    const candidates = [...plain, ...leveled].map((walk) => ({ records: ggml, walk }));
    return best(kernels, block, candidates, SAMPLE)?.candidate;
  }
  if (!enough(NIBBLES, block)) return undefined;
  const width = DTYPE_BYTES[block.dtype];
  if (width === 2 || width === 8 || block.dtype === 'BOOL') return undefined;
  const found = [
    bestNibbles(kernels, block),
    ...(width === 1 ? [bestBytes(kernels, block)] : []),
  ];
  const one = found.reduce((a, b) => ((b?.saved ?? 0) > (a?.saved ?? 0) ? b : a));
  return one && one.saved > 0 ? one.candidate : undefined;
}

interface Measured {
  readonly candidate: Candidate;
  /** Share of the bits without contexts. */
  readonly saved: number;
}

/** Tries values and lanes first, then sizes of groups: contexts by the mean of 32 are better than none where there are 128. */
function bestNibbles(kernels: LosslessKernels, block: Block): Measured | undefined {
  const nibbles = (kind: number, group: number, run = 1, lanes = 1) => ({
    records: NIBBLES,
    walk: walkOf(NIBBLES, kind, group, run, lanes),
  });
  const { columns } = block;
  const kinds = VALUES.map((_, kind) => kind);
  const words = DTYPE_BYTES[block.dtype] === 4 && columns > 1;
  const lanes = [
    ...kinds.map((kind) => nibbles(kind, 32)),
    ...(words && columns <= MAX_LANES ? kinds.map((kind) => nibbles(kind, 128, WORD_NIBBLES, columns)) : []),
    ...(words && columns * WORD_NIBBLES <= MAX_LANES
      ? kinds.map((kind) => nibbles(kind, 128, 1, columns * WORD_NIBBLES))
      : []),
  ];
  const first = best(kernels, block, lanes, words ? 2 * SAMPLE : SAMPLE);
  if (!first) return undefined;
  const { kind, run, lanes: count } = first.candidate.walk;
  const sizes = GROUPS.map((group) => nibbles(kind, group, run, count));
  return best(kernels, block, sizes, count > 1 ? 8 * SAMPLE : SAMPLE);
}

function bestBytes(kernels: LosslessKernels, block: Block): Measured | undefined {
  const kinds = VALUES.map((_, kind) => kind);
  const bytes = kinds.flatMap((kind) => [
    { records: BYTES, walk: walkOf(BYTES, kind, 256) },
    ...(block.columns > 1 && block.columns <= MAX_LANES
      ? [{ records: BYTES, walk: walkOf(BYTES, kind, 256, 1, block.columns) }]
      : []),
  ]);
  return best(kernels, block, bytes, 8 * SAMPLE);
}

function walkOf(records: Records, kind: number, group: number, run = 1, lanes = 1): Walk {
  const half = 2 ** (symbolBits(records) - 1);
  const values = Array.from({ length: 2 * half }, (_, symbol) => VALUES[kind]!(symbol, half));
  return { kind, group, run, lanes, top: Math.max(...values), levels: 0 };
}

const enough = (records: Records, block: ByteBlock) =>
  placeRecords(block, records.bytes).records * records.symbols >= MIN_SYMBOLS;

/** Returns the candidate with the fewest bits in the first `size` symbols. */
function best(
  kernels: LosslessKernels,
  block: Block,
  candidates: readonly Candidate[],
  size: number,
): Measured | undefined {
  let found: Measured | undefined;
  for (const candidate of candidates) {
    const { records, walk } = candidate;
    const whole = placeRecords(block, records.bytes);
    const place = { ...whole, records: Math.min(whole.records, Math.ceil(size / records.symbols)) };
    prepare(kernels, records, walk, block);
    const counts = countByContext(kernels, records, place);
    const plain = entropy(counts, symbolBits(records));
    const saved = 1 - expectedBits(counts, place.records / whole.records) / plain;
    if (!found || saved > found.saved) found = { candidate, saved };
  }
  return found;
}

function entropy({ symbols, counts }: { symbols: Uint8Array; counts: Uint32Array }, bits: number): number {
  const sums = new Float64Array(1 << bits);
  for (let i = 0; i < symbols.length; i++) sums[symbols[i]!]! += counts[i]!;
  const total = sums.reduce((a, b) => a + b, 0);
  return sums.reduce((all, count) => all + (count ? count * Math.log2(total / count) : 0), 0);
}
