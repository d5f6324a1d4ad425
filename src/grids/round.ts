import { GridKernel } from '../wasm/grids.js';
import { ChosenGrids } from './chosen.js';
import type { GridCodes, GridFormat } from './format.js';

let kernel: GridKernel | undefined;

/**
 * Rounds a matrix to a format's grids without statistics: each group gets the scale, the minimum and the codes of the least squared error.
 * @param values [rows, columns], finite. @throws {InputError} for weights that a float16 scale cannot reach.
 */
export function roundToGrids(
  name: string,
  values: Float32Array,
  rows: number,
  columns: number,
  format: GridFormat,
): GridCodes {
  kernel ??= new GridKernel();
  const columnCosts = new Float32Array(columns).fill(1);
  const chosen = new ChosenGrids(kernel, { name, rows, columns, weights: values, columnCosts }, format);
  chosen.chooseAlone();
  return chosen.result();
}
