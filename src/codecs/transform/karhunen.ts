import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import type { Basis } from './basis.js';
import { multiply, transpose } from './products.js';

/** Unit of the entries of a stored basis; the loss by rounding them is far below that of coefficients. */
const UNIT = 1 / 32767;

/**
 * Computes the Karhunen-Loeve transform: the eigenvectors of the blocks' second moment, largest eigenvalue first. It depends on the data
 * and is stored with it, in 16 bits per entry.
 * @param blocks [count, size]. @returns entries of the analysis matrix [size, size] in units of 1/32767.
 */
export function karhunenTable(blocks: Float64Array, size: number): Int16Array {
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

/** Returns the basis of a stored table. */
export function karhunenBasis(table: Int16Array, size: number): Basis {
  return { size, real: Float64Array.from(table, (entry) => entry * UNIT) };
}

/** Returns the eigenvalues of a symmetric matrix, largest first, and its eigenvectors as rows in that order. */
export function symmetricEigen(matrix: Float64Array, size: number) {
  const given = Matrix.from1DArray(size, size, matrix);
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(given, {
    assumeSymmetric: true,
  });
  const order = Array.from({ length: size }, (_, i) => i).sort(
    (a, b) => realEigenvalues[b]! - realEigenvalues[a]!,
  );
  const values = order.map((i) => realEigenvalues[i]!);
  const vectors = Float64Array.from(order.flatMap((i) => eigenvectorMatrix.getColumn(i)));
  return { values, vectors };
}
