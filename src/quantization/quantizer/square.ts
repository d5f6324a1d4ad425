import type { Square } from '../../wasm/grids.js';

/**
 * Decomposes a small symmetric positive definite matrix, A = M diag(costs) transposed(M) with M unit upper triangular, and inverts it, in
 * float64. @param matrix [n, n].
 */
export function squareOf(matrix: Float32Array, n: number): Square {
  const factor = new Float64Array(n * n);
  const costs = new Float64Array(n);
  for (let column = n - 1; column >= 0; column--)
    for (let row = column; row >= 0; row--) {
      let sum = matrix[row * n + column]!;
      for (let k = column + 1; k < n; k++) sum -= factor[row * n + k]! * factor[column * n + k]! * costs[k]!;
      if (row === column) costs[column] = sum;
      else factor[row * n + column] = sum / costs[column]!;
    }
  return {
    costs: Float32Array.from(costs),
    factor: Float32Array.from(factor),
    inverse: inverseOf(factor, costs, n),
  };
}

/** Computes transposed(M^-1) diag(1 / costs) M^-1. */
function inverseOf(factor: Float64Array, costs: Float64Array, n: number): Float32Array {
  const inverse = new Float64Array(n * n); // of M
  for (let column = 0; column < n; column++) {
    inverse[column * n + column] = 1;
    for (let row = column - 1; row >= 0; row--) {
      let sum = 0;
      for (let k = row + 1; k <= column; k++) sum -= factor[row * n + k]! * inverse[k * n + column]!;
      inverse[row * n + column] = sum;
    }
  }
  return Float32Array.from({ length: n * n }, (_, i) => {
    const [row, column] = [Math.floor(i / n), i % n];
    let sum = 0;
    for (let k = 0; k <= Math.min(row, column); k++)
      sum += (inverse[k * n + row]! * inverse[k * n + column]!) / costs[k]!;
    return sum;
  });
}
