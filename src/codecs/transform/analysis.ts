import { FIXED, fixedBasis } from './bases.js';
import type { Coefficients, TransformOptions } from './coefficients.js';
import { symmetricEigen } from './eigen.js';
import { karhunenBasis, UNIT } from './karhunen.js';
import { multiply, transpose } from './products.js';
import { forward, type Shape } from './separable.js';

const NO_TABLE = new Int16Array(0);

/** Transforms a matrix. @throws {RangeError} for weights that are not finite and for unsupported sizes. */
export function analyze(values: Float32Array, shape: Shape, options: TransformOptions): Coefficients {
  if (!values.every(Number.isFinite)) throw new RangeError('NaN or infinite weights cannot be transformed');
  const { transform, size, dimensions } = options;
  if (transform === 'svd') return { numbers: singularFactors(values, shape), table: NO_TABLE };
  if (transform in FIXED)
    return { numbers: forward(values, shape, fixedBasis(transform, size), dimensions), table: NO_TABLE };
  // tiles use one second moment for both sides, estimated from blocks of their rows
  const blocks = forward(values, shape, fixedBasis('none', size), dimensions);
  const table = karhunenTable(blocks, size);
  return { numbers: forward(values, shape, karhunenBasis(table, size), dimensions), table };
}

/**
 * Computes the Karhunen-Loeve transform: the eigenvectors of the blocks' second moment, largest eigenvalue first. It depends on the data
 * and is stored with it, in 16 bits per entry.
 * @param blocks [count, size]. @returns entries of the analysis matrix [size, size] in units of 1/32767.
 */
function karhunenTable(blocks: Float64Array, size: number): Int16Array {
  const moment = multiply(
    transpose(blocks, blocks.length / size, size),
    blocks,
    size,
    blocks.length / size,
    size,
  );
  const { vectors } = symmetricEigen(moment, size);
  return Int16Array.from(vectors, (value) => Math.round(value / UNIT));
}

/**
 * Returns the singular value decomposition X = U S V^T as two factors, U sqrt(S) and V sqrt(S), from the eigenvectors of the smaller of
 * X X^T and X^T X. Ranks are in decreasing order, so that a truncated decomposition is a prefix and small ranks round to zero.
 * @returns [rank, rows + columns]: for each rank its columns of both factors.
 */
function singularFactors(values: Float32Array, { rows, columns }: Shape): Float64Array {
  const wide = columns > rows;
  const x = Float64Array.from(values);
  const flipped = transpose(x, rows, columns);
  const [long, short] = wide ? [columns, rows] : [rows, columns];
  const [tall, flat] = wide ? [flipped, x] : [x, flipped]; // [long, short] and its transpose
  const { values: squares, vectors } = symmetricEigen(multiply(flat, tall, short, long, short), short);
  const projected = multiply(vectors, flat, short, short, long); // row r: S_r times the long side's vector
  const numbers = new Float64Array(short * (rows + columns));
  for (let rank = 0; rank < short; rank++) {
    const root = Math.max(0, squares[rank]!) ** 0.25;
    const shortSide = vectors.subarray(rank * short, (rank + 1) * short).map((v) => v * root);
    const longSide = projected.subarray(rank * long, (rank + 1) * long).map((v) => (root > 0 ? v / root : 0));
    const at = rank * (rows + columns);
    numbers.set(wide ? shortSide : longSide, at);
    numbers.set(wide ? longSide : shortSide, at + rows);
  }
  return numbers;
}
