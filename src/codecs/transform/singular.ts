import { multiply, transpose } from './products.js';
import type { Shape } from './separable.js';

/** Returns the matrix of the factors of `singularFactors` (analysis.ts). */
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
