import { symmetricEigen } from './karhunen.js';
import { multiply, transpose } from './products.js';
import type { Shape } from './separable.js';

/**
 * Returns the singular value decomposition X = U S V^T as two factors, U sqrt(S) and V sqrt(S), from the eigenvectors of the smaller of
 * X X^T and X^T X. Ranks are in decreasing order, so that a truncated decomposition is a prefix and small ranks round to zero.
 * @returns [rank, rows + columns]: for each rank its columns of both factors.
 */
export function singularFactors(values: Float32Array, { rows, columns }: Shape): Float64Array {
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

/** Returns the matrix of the factors of {@link singularFactors}. */
export function singularProduct(numbers: Float64Array, { rows, columns }: Shape): Float32Array {
  const rank = Math.min(rows, columns);
  const side = (from: number, length: number) => {
    const factor = new Float64Array(rank * length);
    for (let r = 0; r < rank; r++)
      factor.set(
        numbers.subarray(r * (rows + columns) + from, r * (rows + columns) + from + length),
        r * length,
      );
    return factor;
  };
  const left = transpose(side(0, rows), rank, rows);
  return Float32Array.from(multiply(left, side(rows, columns), rows, rank, columns));
}
