import type { Dtype } from '../../core/dtype.js';
import type { LosslessKernels } from '../../wasm/lossless.js';
import { type ByteBlock, firstSymbol, type Grades, placeRecords, rowsOf } from './contexts.js';
import { type Records, symbolBits } from './records.js';

/** Steps between grades, in octaves. */
const [ROW_STEP, COLUMN_STEP] = [1 / 8, 1 / 4];
/** Grades of a row and of a column of medium size, and the largest. */
const [ROW_MIDDLE, ROW_MAX] = [16, 32];
const [COLUMN_MIDDLE, COLUMN_MAX] = [3, 7];

/** Mantissa bits of one-byte floats. */
const MANTISSA: Readonly<Partial<Record<Dtype, number>>> = { F8_E4M3: 3, F8_E5M2: 2 };

/**
 * Grades rows and columns of the kernels' `elements` by the mean logarithm of their values. Records are of one byte.
 * @param columns symbols per row.
 */
export function gradeRows(
  kernels: LosslessKernels,
  records: Records,
  columns: number,
  block: ByteBlock,
): Grades {
  const { elements } = kernels.buffers;
  const { records: count } = placeRecords(block, 1);
  const logs = logarithms(block.dtype, symbolBits(records));
  const perByte = records.symbols;
  const mask = 2 ** symbolBits(records) - 1;
  const rowSums = new Float64Array(rowsOf(records, columns, block));
  const rowCounts = new Float64Array(rowSums.length);
  const columnSums = new Float64Array(columns);
  const columnCounts = new Float64Array(columns);
  let row = 0;
  let column = firstSymbol(records, block) % columns;
  for (let i = 0; i < count; i++)
    for (let j = 0; j < perByte; j++) {
      const value = logs[(elements[i]! >> (4 * j)) & mask]!;
      rowSums[row]! += value;
      rowCounts[row]!++;
      columnSums[column]! += value;
      columnCounts[column]!++;
      if (++column === columns) {
        column = 0;
        row++;
      }
    }
  return {
    rows: grades(rowSums, rowCounts, ROW_STEP, ROW_MIDDLE, ROW_MAX),
    columns: grades(columnSums, columnCounts, COLUMN_STEP, COLUMN_MIDDLE, COLUMN_MAX),
  };
}

/** Returns the logarithm of the magnitude of each symbol, base 2, about. */
function logarithms(dtype: Dtype, bits: number): Float64Array {
  const half = 2 ** (bits - 1);
  const mantissa = MANTISSA[dtype];
  return Float64Array.from({ length: 2 * half }, (_, symbol) => {
    if (mantissa !== undefined) return (symbol % half) / 2 ** mantissa;
    const magnitude = dtype === 'I8' ? Math.min(symbol, 2 * half - symbol) : Math.abs(symbol - half);
    return Math.log2(magnitude + 1 / 2);
  });
}

function grades(
  sums: Float64Array,
  counts: Float64Array,
  step: number,
  middle: number,
  max: number,
): Uint8Array {
  const means = sums.map((sum, i) => (counts[i] ? sum / counts[i]! : Number.NaN));
  const known = means.filter((mean) => !Number.isNaN(mean)).sort();
  const median = known[known.length >> 1]!;
  return Uint8Array.from(means, (mean) =>
    Number.isNaN(mean) ? middle : Math.max(0, Math.min(max, middle + Math.round((mean - median) / step))),
  );
}
