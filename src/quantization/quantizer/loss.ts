import type { GridInput } from './grid-input.js';
import type { Products } from './products.js';

/** Computes the loss of errors, tr(G E H transposed(E)): twice the nats per token that they are expected to cost. @param errors [columns, rows]. */
export async function lossOfErrors(
  products: Products,
  {
    rows,
    columns,
    rowMoments,
    columnMoments,
  }: Pick<GridInput, 'rows' | 'columns' | 'rowMoments' | 'columnMoments'>,
  errors: Float32Array,
): Promise<number> {
  const across =
    columnMoments.length > columns
      ? await products.transposedTimes(columnMoments, errors, columns, columns, rows)
      : errors.map((error, i) => error * columnMoments[Math.floor(i / rows)]!);
  const gradient =
    rowMoments.length > rows
      ? await products.times(across, rowMoments, columns, rows, rows)
      : across.map((sum, i) => sum * rowMoments[i % rows]!);
  let loss = 0;
  for (let i = 0; i < errors.length; i++) loss += gradient[i]! * errors[i]!;
  return loss;
}
