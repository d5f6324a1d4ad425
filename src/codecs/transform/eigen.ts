import { EigenvalueDecomposition, Matrix } from 'ml-matrix';

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
