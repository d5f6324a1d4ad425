import { DTYPE_BYTES, type Dtype } from '../../core/dtype.js';
import { type LosslessKernels, MAX_GRADED_COLUMNS, MAX_LANES } from '../../wasm/lossless.js';
import { expectedBits, totals } from './clusters.js';
import {
  type ByteBlock,
  countByContext,
  GRADED,
  placeRecords,
  prepare,
  VALUES,
  type Walk,
} from './contexts.js';
import { gradeRows } from './grades.js';
import { BYTES, type GgmlRecords, ggmlRecords, NIBBLES, type Records, symbolBits } from './records.js';

// Which symbols a block of integers has, and which groups: what a sample of it says.

/** How a block may be coded by contexts. */
export interface Candidate {
  readonly records: Records;
  readonly walk: Walk;
}

/** A block of a tensor with rows of `columns` elements. */
interface PackedBlock extends ByteBlock {
  readonly columns: number;
}

/** Symbols of a sample in a row, and of one of lanes, which are as long as rows of packed weights. */
const SAMPLE = 1 << 16;
const LANES_SAMPLE = 1 << 18;
/** Shorter blocks do not pay for the tables. */
const MIN_SYMBOLS = 1 << 12;
/** Below 0: contexts that are alike share a table, which the sample does not know. */
const MIN_SAVED = -0.02;
/** Group sizes of formats that pack nibbles, the most likely first. */
const GROUPS = [32, 16, 64, 128];
const WORD_NIBBLES = 8;
/** Shorter rows do not pay for their grades. */
const MIN_GRADED = 256;
/** Nibbles that are independent take nearly as much as bytes; others are not weights. */
const INDEPENDENT = 0.9;

const KINDS = VALUES.map((_, kind) => kind);
const BYTE_TYPES: ReadonlySet<Dtype> = new Set<Dtype>(['I8', 'F8_E4M3', 'F8_E5M2']);
const NIBBLE_TYPES: ReadonlySet<Dtype> = new Set<Dtype>(['U8', 'I8', 'I32', 'U32']);

/** Returns ways to code the kernels' `elements` by contexts that seem to save something: by a sample, or by none. */
export function chooseWalks(kernels: LosslessKernels, block: PackedBlock): Candidate[] {
  const { dtype, columns } = block;
  const ggml = dtype === 'U8' ? ggmlRecords(columns).filter((records) => enough(records, block)) : [];
  if (ggml.length) {
    // two where blocks of two types have the same length
    return ggml.map((records) => {
      const candidates = ggmlWalks(records).map((walk) => ({ records, walk }));
      return best(kernels, block, candidates, SAMPLE)!.candidate;
    });
  }
  const ways: Candidate[] = [];
  if (BYTE_TYPES.has(dtype) && enough(BYTES, block)) ways.push(...graded(kernels, block, BYTES, 1));
  if (NIBBLE_TYPES.has(dtype) && enough(NIBBLES, block) && hasNibbles(kernels, block)) {
    const found = bestNibbles(kernels, block);
    if (found && found.saved > MIN_SAVED) ways.push(found.candidate);
  }
  return ways;
}

function ggmlWalks(records: GgmlRecords): Walk[] {
  const plain = KINDS.map((kind) => walkOf(records, kind, records.group));
  const { levels } = records;
  return levels === undefined ? plain : [...plain, ...plain.map((walk) => ({ ...walk, levels }))];
}

interface Measured {
  readonly candidate: Candidate;
  /** Bits that contexts save, as a share of what the symbols take without. */
  readonly saved: number;
}

/** Tries values and lanes first, then sizes of groups: contexts by the mean of 32 are better than none where there are 128. */
function bestNibbles(kernels: LosslessKernels, block: PackedBlock): Measured | undefined {
  const nibbles = (kind: number, group: number, run = 1, lanes = 1) => ({
    records: NIBBLES,
    walk: walkOf(NIBBLES, kind, group, run, lanes),
  });
  const { columns } = block;
  const words = DTYPE_BYTES[block.dtype] === 4 && columns > 1;
  const inColumns =
    words && columns <= MAX_LANES ? KINDS.map((kind) => nibbles(kind, 128, WORD_NIBBLES, columns)) : [];
  const inRows =
    words && columns * WORD_NIBBLES <= MAX_LANES
      ? KINDS.map((kind) => nibbles(kind, 128, 1, columns * WORD_NIBBLES))
      : [];
  const lanes = [...KINDS.map((kind) => nibbles(kind, GROUPS[0]!)), ...inColumns, ...inRows];
  const first = best(kernels, block, lanes, words ? LANES_SAMPLE : SAMPLE)!;
  const { kind, run, lanes: count } = first.candidate.walk;
  const sizes = GROUPS.map((group) => nibbles(kind, group, run, count));
  const grouped = best(kernels, block, sizes, count > 1 ? 8 * LANES_SAMPLE : SAMPLE)!;
  const rows = words ? [] : graded(kernels, block, NIBBLES, NIBBLES.symbols);
  const byRow = best(kernels, block, rows, count > 1 ? 8 * LANES_SAMPLE : SAMPLE);
  return byRow && byRow.saved > grouped.saved ? byRow : grouped;
}

/** Returns the walk whose contexts are the grades of rows and columns, if rows are long enough. */
function graded(
  kernels: LosslessKernels,
  block: PackedBlock,
  records: Records,
  perColumn: number,
): Candidate[] {
  const columns = block.columns * perColumn;
  if (columns < MIN_GRADED || columns > MAX_GRADED_COLUMNS) return [];
  const grades = gradeRows(kernels, records, columns, block);
  return [{ records, walk: { ...walkOf(records, 0, columns), levels: GRADED, grades } }];
}

/** Returns whether both nibbles of a byte seem to be symbols: they are independent, and not even. */
function hasNibbles(kernels: LosslessKernels, block: PackedBlock): boolean {
  const length = Math.min(SAMPLE / 2, block.count * DTYPE_BYTES[block.dtype]);
  const bytes = new Float64Array(256);
  const [low, high] = [new Float64Array(16), new Float64Array(16)];
  const { elements } = kernels.buffers;
  for (let i = 0; i < length; i++) {
    const byte = elements[i]!;
    bytes[byte]!++;
    low[byte & 15]!++;
    high[byte >> 4]!++;
  }
  return entropy(bytes) > INDEPENDENT * (entropy(low) + entropy(high));
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
  block: ByteBlock,
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
    const plain = entropy(totals(counts, symbolBits(records)));
    const expected = expectedBits(counts, place.records / whole.records);
    const saved = 1 - expected / plain;
    if (!found || saved > found.saved) found = { candidate, saved };
  }
  return found;
}

function entropy(sums: Float64Array): number {
  const total = sums.reduce((a, b) => a + b, 0);
  return sums.reduce((all, count) => all + (count ? count * Math.log2(total / count) : 0), 0);
}
