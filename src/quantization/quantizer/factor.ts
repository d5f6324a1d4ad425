import { InputError } from '../../core/errors.js';
import type { Products } from './products.js';

/** A factorization A = M diag(d^2) M^T with M unit upper triangular, so that e A e^T = sum_j d_j^2 (e_j + sum_{i<j} e_i M_ij)^2. */
export interface Factor {
  /** M, [n, n]; entries on and below the diagonal are not used. */
  readonly upper: Float32Array;
  /** d, [n], positive. */
  readonly diagonal: Float32Array;
}

/** Number of columns factored in float64 before the rest is updated by one matrix product. */
const BLOCK = 128;

/** Number of rows updated by one product: strips cover little more than the triangle that is needed, and take little memory. */
const STRIP = 512;

/** Minimum mean of a diagonal: a matrix may be all zeros, but steps must be finite. */
const MIN_MEAN = 1e-24;

/** Returns the mean of a diagonal, [n] itself or of [n, n]; never 0, because steps must be finite. */
export function diagonalMean(values: Float32Array, n: number): number {
  const stride = values.length === n ? 1 : n + 1;
  let sum = 0;
  for (let i = 0; i < n; i++) sum += values[i * stride]!;
  return Math.max(sum / n, MIN_MEAN);
}

/**
 * Factorizes a symmetric matrix from its last column to its first (the Cholesky decomposition of the matrix in reverse order).
 * @param matrix [n, n], symmetric; it is overwritten. @param damping added to the diagonal, as a share of its mean: without it the
 * matrix would be singular for features that never occur, and for fewer samples than features.
 * @throws {InputError} when it is not positive definite after damping.
 */
export async function factorize(
  products: Products,
  matrix: Float32Array,
  n: number,
  damping: number,
  name: string,
): Promise<Factor> {
  addToDiagonal(matrix, n, damping);
  const diagonal = new Float32Array(n);
  for (let end = n; end > 0; ) {
    const start = Math.max(0, end - BLOCK);
    const size = end - start;
    const corner = factorCorner(matrix, n, start, end);
    if (!corner)
      throw new InputError('statistics are not positive definite, even after damping', { tensor: name });
    if (start > 0) {
      const above = cut(matrix, n, 0, start, start, end);
      const panel = await products.times(above, inverseTransposed(corner, size), start, size, size);
      await subtractSquare(products, matrix, n, panel, start, size);
      for (let row = 0; row < start; row++)
        for (let column = 0; column < size; column++)
          matrix[row * n + start + column] = panel[row * size + column]! / corner[column * size + column]!;
    }
    for (let row = 0; row < size; row++) {
      diagonal[start + row] = corner[row * size + row]!;
      for (let column = row + 1; column < size; column++)
        matrix[(start + row) * n + start + column] =
          corner[row * size + column]! / corner[column * size + column]!;
    }
    end = start;
  }
  return { upper: matrix, diagonal };
}

/** Subtracts panel transposed(panel), panel [end, size], from the entries on and above the diagonal of the first `end` rows and columns. */
async function subtractSquare(
  products: Products,
  matrix: Float32Array,
  n: number,
  panel: Float32Array,
  end: number,
  size: number,
): Promise<void> {
  for (let top = 0; top < end; top += STRIP) {
    const bottom = Math.min(end, top + STRIP);
    const width = end - top;
    const [strip, right] = [panel.subarray(top * size, bottom * size), panel.subarray(top * size)];
    const square = await products.timesTransposed(strip, right, bottom - top, size, width);
    for (let row = top; row < bottom; row++) {
      const from = (row - top) * width - top;
      for (let column = row; column < end; column++) matrix[row * n + column]! -= square[from + column]!;
    }
  }
}

function addToDiagonal(matrix: Float32Array, n: number, damping: number): void {
  let mean = 0;
  for (let i = 0; i < n; i++) mean += matrix[i * n + i]! / n;
  const added = damping * Math.max(mean, MIN_MEAN);
  for (let i = 0; i < n; i++) matrix[i * n + i]! += added;
}

/** Computes U of a diagonal block = U U^T, in float64; undefined when a pivot is not positive or not finite. Reads the entries on and above the diagonal. */
function factorCorner(matrix: Float32Array, n: number, start: number, end: number): Float64Array | undefined {
  const size = end - start;
  const upper = new Float64Array(size * size);
  for (let column = size - 1; column >= 0; column--)
    for (let row = column; row >= 0; row--) {
      let sum = matrix[(start + row) * n + start + column]!;
      for (let k = column + 1; k < size; k++) sum -= upper[row * size + k]! * upper[column * size + k]!;
      if (row === column && !(sum > 0 && sum < Infinity)) return undefined;
      upper[row * size + column] = row === column ? Math.sqrt(sum) : sum / upper[column * size + column]!;
    }
  return upper;
}

/** Computes the transposed inverse of an upper triangular matrix, [size, size]; it is lower triangular. */
function inverseTransposed(upper: Float64Array, size: number): Float32Array {
  const inverse = new Float64Array(size * size); // inverse of `upper`
  for (let column = 0; column < size; column++)
    for (let row = column; row >= 0; row--) {
      let sum = row === column ? 1 : 0;
      for (let k = row + 1; k <= column; k++) sum -= upper[row * size + k]! * inverse[k * size + column]!;
      inverse[row * size + column] = sum / upper[row * size + row]!;
    }
  return Float32Array.from(
    { length: size * size },
    (_, i) => inverse[(i % size) * size + Math.floor(i / size)]!,
  );
}

/** Copies rows `top` to `bottom` and columns `left` to `right` (exclusive) of a matrix of n columns. */
export function cut(
  matrix: Float32Array,
  n: number,
  top: number,
  bottom: number,
  left: number,
  right: number,
): Float32Array {
  const width = right - left;
  const piece = new Float32Array((bottom - top) * width);
  for (let row = top; row < bottom; row++)
    piece.set(matrix.subarray(row * n + left, row * n + right), (row - top) * width);
  return piece;
}
