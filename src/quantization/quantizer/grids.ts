import { ChosenGrids } from '../../grids/chosen.js';
import type { GridCodes, GridFormat } from '../../grids/format.js';
import type { GridKernel } from '../../wasm/grids.js';
import type { GridInput } from './grid-input.js';
import { lossOfErrors } from './loss.js';
import { feedErrors } from './matrix.js';
import type { Products } from './products.js';
import { reviseGrids } from './revise.js';

/**
 * How often all groups are chosen again. On gpt-neo-small in Q3_K the first time takes 7 % of the loss, the second 2.5 %, and both 14 % of
 * the divergence.
 */
const REVISIONS = 2;

/**
 * Quantizes a matrix to a format's grids: each group of a row gets the scale, the minimum and the codes that cost least, with errors fed on to
 * later columns and rows; then each is chosen again, with all others as they are.
 * @throws {InputError} for weights that a float16 scale cannot reach.
 */
export async function quantizeToGrids(
  kernel: GridKernel,
  products: Products,
  matrix: GridInput,
  format: GridFormat,
): Promise<GridCodes> {
  const chosen = await chooseGrids(kernel, products, matrix, format);
  const interacts = matrix.columnFactor !== undefined || matrix.rowFactor !== undefined;
  for (let i = 0; interacts && i < REVISIONS; i++)
    await reviseGrids(kernel, products, matrix, chosen, format.group);
  return chosen.result();
}

/** Computes about what a format costs a matrix, without revisions: its loss, tr(G E H transposed(E)). @throws as {@link quantizeToGrids}. */
export async function lossOnGrids(
  kernel: GridKernel,
  products: Products,
  matrix: GridInput,
  format: GridFormat,
): Promise<number> {
  return lossOfErrors(products, matrix, (await chooseGrids(kernel, products, matrix, format)).errors);
}

async function chooseGrids(
  kernel: GridKernel,
  products: Products,
  matrix: GridInput,
  format: GridFormat,
): Promise<ChosenGrids> {
  const chosen = new ChosenGrids(kernel, matrix, format);
  await feedErrors(products, matrix, {
    setRows: (top, bottom, factor) => kernel.setRows(bottom - top, factor),
    quantize: (place, factor, given) => chosen.choose(place, factor, given),
  });
  return chosen;
}
