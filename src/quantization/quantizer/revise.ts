import type { ChosenGrids } from '../../grids/chosen.js';
import { PANEL_COLUMNS } from '../../wasm/constants.js';
import type { GridKernel } from '../../wasm/grids.js';
import { cut } from './factor.js';
import type { GridInput } from './grid-input.js';
import type { Products } from './products.js';
import { squareOf } from './square.js';

/**
 * Chooses each group of a matrix again, with all others as they are. The gradient of the loss is G E H; of one group of columns it says
 * which values would be best, and the group's square of H which of the possible ones are.
 */
export async function reviseGrids(
  kernel: GridKernel,
  products: Products,
  matrix: GridInput,
  chosen: ChosenGrids,
  group: number,
): Promise<void> {
  const { rows, columns, columnMoments } = matrix;
  const interacts = columnMoments.length > columns;
  for (let start = 0; start < columns; start += PANEL_COLUMNS) {
    const end = Math.min(columns, start + PANEL_COLUMNS);
    const width = end - start;
    const corner = interacts
      ? cut(columnMoments, columns, start, end, start, end)
      : diagonal(columnMoments.subarray(start, end));
    // H E of the panel's columns, [columns of the panel, rows]
    const across = interacts ? cut(columnMoments, columns, 0, columns, start, end) : corner;
    const errors = interacts ? chosen.errors : chosen.errors.subarray(start * rows, end * rows);
    const sums = await products.transposedTimes(across, errors, errors.length / rows, width, rows);
    const squares = Array.from({ length: Math.ceil(width / group) }, (_, i) => {
      const last = Math.min(width, (i + 1) * group);
      return squareOf(cut(corner, width, i * group, last, i * group, last), last - i * group);
    });
    kernel.setSquares(width, corner, squares);
    for (const { top, bottom } of chosen.blocks()) {
      const place = { top, bottom, start, end };
      const before = chosen.panelErrors(place);
      kernel.setGradient(bottom - top, await gradientOf(kernel, products, matrix, sums, top, bottom));
      chosen.revise(place);
      if (bottom === rows) continue;
      const height = bottom - top;
      const change = chosen.panelErrors(place).map((error, i) => error - before[i]!);
      const added = await products.times(corner, change, width, width, height);
      for (let column = 0, i = 0; column < width; column++)
        for (let row = top; row < bottom; row++, i++) sums[column * rows + row]! += added[i]!;
    }
  }
}

/** Computes the gradient of a block of rows, [columns of the panel, rows], and gives the kernel its part of G. */
async function gradientOf(
  kernel: GridKernel,
  products: Products,
  { rows, rowMoments }: GridInput,
  sums: Float32Array,
  top: number,
  bottom: number,
): Promise<Float32Array> {
  const height = bottom - top;
  const width = sums.length / rows;
  if (rowMoments.length > rows) {
    kernel.setRows(height, cut(rowMoments, rows, top, bottom, top, bottom));
    return products.times(sums, cut(rowMoments, rows, 0, rows, top, bottom), width, rows, height);
  }
  kernel.setRows(height, rowMoments.subarray(top, bottom));
  return Float32Array.from({ length: width * height }, (_, i) => {
    const row = top + (i % height);
    return sums[Math.floor(i / height) * rows + row]! * rowMoments[row]!;
  });
}

function diagonal(values: Float32Array): Float32Array {
  const n = values.length;
  const matrix = new Float32Array(n * n);
  for (let i = 0; i < n; i++) matrix[i * n + i] = values[i]!;
  return matrix;
}
