import { DTYPE_BYTES, type Dtype } from '../../core/dtype.js';
import {
  type LosslessKernels,
  MAX_GRADED_COLUMNS,
  MAX_LEVELED_GROUPS,
  type SymbolPlace,
} from '../../wasm/lossless.js';
import { alphabet, chooseSplit, LOWEST_LOW, openSplit, splitPieces } from './floats.js';
import { decodeBytes, encodeBytes, encodeSymbols } from './stream.js';

// Floats whose rows or columns differ in scale by octaves, as an optimizer's second moments do: symbols less what their row and column have in
// common. spec/wpk-v1.md, "Shifted floats".

/** A block and its place. */
interface FloatBlock {
  readonly dtype: Dtype;
  readonly first: number;
  readonly count: number;
  /** Elements per row. */
  readonly columns: number;
}

/** Rows and columns of the sample, and the fewest of each that pay. */
const SAMPLE = 48;
const MIN_ROWS = 16;
/** Standard deviation of the scales of rows or columns, in octaves, from which shifts may pay. */
const MIN_SPREAD = 0.6;
/** Bits per symbol that shifts must save. */
const MIN_GAIN = 0.05;
const NO_SHIFT = 128;
/** The exponent's lowest bit in the top 16 bits of an element. */
const EXPONENT_SHIFT: Readonly<Partial<Record<Dtype, number>>> = { F64: 4, F32: 7, BF16: 7, F16: 10 };

const rowsOf = ({ first, count, columns }: FloatBlock) => Math.ceil(((first % columns) + count) / columns);
const fits = (block: FloatBlock) =>
  block.columns >= 1 && block.columns <= MAX_GRADED_COLUMNS && rowsOf(block) <= MAX_LEVELED_GROUPS;

/** Returns whether rows or columns of the elements differ in scale: by a sample of their exponents. */
export function shiftsPay(elements: Uint8Array, block: FloatBlock): boolean {
  const { dtype, first, count, columns } = block;
  const width = DTYPE_BYTES[dtype];
  const rows = Math.floor(count / columns);
  if (!fits(block) || rows < MIN_ROWS || columns < MIN_ROWS) return false;
  const [across, down] = [Math.min(SAMPLE, columns), Math.min(SAMPLE, rows - 1)];
  const [byRow, byColumn] = [new Float64Array(down), new Float64Array(across)];
  let squares = 0;
  const start = (columns - (first % columns)) % columns;
  for (let i = 0; i < down; i++) {
    const row = start + Math.floor((i * (rows - 1)) / down) * columns;
    for (let j = 0; j < across; j++) {
      const at = (row + Math.floor((j * columns) / across) + 1) * width;
      const head = elements[at - 2]! | (elements[at - 1]! << 8);
      const exponent = (head & 0x7fff) >> EXPONENT_SHIFT[dtype]!;
      byRow[i]! += exponent / across;
      byColumn[j]! += exponent / down;
      squares += exponent ** 2 / (across * down);
    }
  }
  return spread(byRow, across, squares) > MIN_SPREAD || spread(byColumn, down, squares) > MIN_SPREAD;
}

/** Returns the standard deviation of the means of lines, without what the lines' own deviation makes of it. @param squares the mean square in all lines. */
function spread(means: Float64Array, length: number, squares: number): number {
  let [mean, between] = [0, 0];
  for (const own of means) {
    mean += own / means.length;
    between += own ** 2 / means.length;
  }
  return Math.sqrt(Math.max(0, between - mean ** 2 - (squares - between) / length));
}

/** Encodes the first `count` of the kernels' `elements`. @returns the payload in pieces; undefined if shifts do not pay. */
export function encodeShifted(kernels: LosslessKernels, block: FloatBlock): Uint8Array[] | undefined {
  const { dtype, count } = block;
  const width = DTYPE_BYTES[dtype];
  const { heads, seen } = kernels.countHeads(count, width, LOWEST_LOW);
  const split = chooseSplit(heads, seen, count, dtype);
  kernels.splitFloats(count, width, split);
  const { rows, columns } = chooseShifts(kernels, block);
  const place = placeShifts(kernels, block, rows, columns, alphabet(split));
  kernels.shiftSymbols(place, 0, count, -1, 0);
  const bins = new Uint32Array(alphabet(split));
  const { symbols } = kernels.buffers;
  for (let i = 0; i < count; i++) bins[symbols[i]!]!++;
  if (entropy(bins, count) > entropy(split.bins, count) - MIN_GAIN) return undefined;
  const { table, stream } = encodeSymbols(kernels, count, bins);
  const coded = { table, stream: stream.slice() };
  return [
    ...[rows, columns].flatMap((shifts) => encodeBytes(kernels, shifts)),
    ...splitPieces(kernels, count, split, coded),
  ];
}

/** Returns the mean symbol of every row, less that of all, and that of every column of what is left; symbols 0 do not count. */
function chooseShifts(
  kernels: LosslessKernels,
  block: FloatBlock,
): { rows: Uint8Array; columns: Uint8Array } {
  const { symbols } = kernels.buffers;
  const { first, count, columns } = block;
  const means = (length: number, lineOf: (row: number, column: number) => number, less: Float64Array) => {
    const [sums, counts] = [new Float64Array(length), new Float64Array(length)];
    let [row, column] = [0, first % columns];
    for (let i = 0; i < count; i++) {
      const symbol = symbols[i]!;
      if (symbol) {
        const line = lineOf(row, column);
        sums[line]! += symbol - less[row]!;
        counts[line]!++;
      }
      if (++column === columns) {
        column = 0;
        row++;
      }
    }
    const all = sums.reduce((a, b) => a + b, 0) / counts.reduce((a, b) => a + b, 1);
    return sums.map((sum, i) => (counts[i] ? Math.round(sum / counts[i]! - all) : 0));
  };
  const rows = rowsOf(block);
  const byRow = means(rows, (row) => row, new Float64Array(rows));
  const byColumn = means(columns, (_, column) => column, byRow);
  const asBytes = (shifts: Float64Array) =>
    Uint8Array.from(shifts, (shift) => Math.max(0, Math.min(255, shift + NO_SHIFT)));
  return { rows: asBytes(byRow), columns: asBytes(byColumn) };
}

function placeShifts(
  kernels: LosslessKernels,
  { first, columns }: FloatBlock,
  rows: Uint8Array,
  columnShifts: Uint8Array,
  symbols: number,
): SymbolPlace {
  kernels.buffers.levels.set(rows);
  kernels.buffers.buckets.set(columnShifts);
  return { column: first % columns, columns, symbols };
}

function entropy(bins: Uint32Array, count: number): number {
  let bits = 0;
  for (const n of bins) if (n) bits += (n / count) * Math.log2(count / n);
  return bits;
}

/** Decodes a view of the kernels' `payload` to `elements`. @throws {RangeError} when malformed. */
export function decodeShifted(kernels: LosslessKernels, payload: Uint8Array, block: FloatBlock): void {
  const { dtype, count } = block;
  if (!fits(block) || !(dtype in EXPONENT_SHIFT)) throw new RangeError('shifts of elements without rows');
  const [rows, columns] = [new Uint8Array(rowsOf(block)), new Uint8Array(block.columns)];
  const next = [rows, columns].reduce((from, shifts) => decodeBytes(kernels, payload, from, shifts), 0);
  const { split, symbols, stream, merge } = openSplit(kernels, payload.subarray(next), count, dtype);
  const place = placeShifts(kernels, block, rows, columns, alphabet(split));
  symbols.decode(count, 0, stream, (from, chunk) => {
    kernels.shiftSymbols(place, from, chunk, 1, split.low);
    merge(from, chunk);
  });
}
