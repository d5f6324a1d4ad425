import { ROWS_PER_BLOCK } from '../../codecs/trellis/levels.js';
import { transposed } from '../../core/transposed.js';
import type { PanelPlace } from '../../grids/chosen.js';
import { PANEL_COLUMNS, type QuantizerKernel } from '../../wasm/quantize.js';
import { cut } from './factor.js';
import type { Products } from './products.js';

/** A matrix to quantize, and which errors cost what. */
export interface FeedbackInput {
  readonly rows: number;
  readonly columns: number;
  /** [rows, columns] */
  readonly weights: Float32Array;
  /** The unit upper triangular factor of H, [columns, columns]; without it columns do not interact. */
  readonly columnFactor?: Float32Array | undefined;
  /** The unit upper triangular factor of G, [rows, rows]; without it rows do not interact. */
  readonly rowFactor?: Float32Array | undefined;
}

/** What errors elsewhere add to a panel, [columns, rows]. */
export interface PanelInput {
  /** What errors of the columns before the panel add to each weight. */
  readonly fed: Float32Array | undefined;
  /** What errors of the rows above the panel add to each term. */
  readonly pushed: Float32Array | undefined;
}

/** Quantizes panels one after another, and keeps what it chooses. */
export interface PanelQuantizer {
  /** Sets the factor of G of the rows of the next panels, [rows, rows]; undefined if rows do not interact. */
  setRows(top: number, bottom: number, factor: Float32Array | undefined): void;
  /**
   * Quantizes a panel. @param factor of H of its columns, [columns, columns]; undefined if they do not interact.
   * @returns errors and terms; a column takes ROWS_PER_BLOCK entries, however many rows there are. Valid until the next call.
   */
  quantize(
    place: PanelPlace,
    factor: Float32Array | undefined,
    input: PanelInput,
  ): { readonly errors: Float32Array; readonly terms: Float32Array };
}

/** A matrix to quantize by the trellis, and its steps. */
export interface MatrixInput extends FeedbackInput {
  readonly rowSteps: Float32Array;
  readonly columnSteps: Float32Array;
  readonly rowContexts: Int16Array;
  readonly columnContexts: Int16Array;
}

/** Quantizes a matrix by the trellis, with the kernel's choices. @returns indices [rows, columns]. */
export async function quantizeMatrix(
  kernel: QuantizerKernel,
  products: Products,
  matrix: MatrixInput,
): Promise<Int16Array> {
  const { rows, columns, rowSteps, rowContexts, columnSteps, columnContexts } = matrix;
  const indices = new Int16Array(rows * columns);
  let block: Float32Array = new Float32Array(0); // weights of the rows, [columns, rows]
  await feedErrors(products, matrix, {
    setRows(top, bottom, factor) {
      const weights = matrix.weights.subarray(top * columns, bottom * columns);
      block = transposed(weights, bottom - top, columns);
      kernel.setRowFactor(bottom - top, factor);
      kernel.setRows(rowSteps.subarray(top, bottom), rowContexts.subarray(top, bottom));
    },
    quantize({ top, bottom, start, end }, factor, { fed, pushed }) {
      const weights = block.subarray(start * (bottom - top), end * (bottom - top));
      kernel.setColumnFactor(end - start, factor);
      kernel.setColumns(columnSteps.subarray(start, end), columnContexts.subarray(start, end));
      const panel = kernel.quantize(bottom - top, end - start, weights, fed, pushed);
      for (let column = start; column < end; column++)
        for (let row = top, from = (column - start) * ROWS_PER_BLOCK; row < bottom; row++, from++)
          indices[row * columns + column] = panel.indices[from]!;
      return panel;
    },
  });
  return indices;
}

/**
 * Quantizes a matrix in blocks of rows and panels of columns.
 * With errors E, V = E M_H and T = transposed(M_G) V: each weight is chosen to make its entry of T small, because the square of that
 * entry is added to the loss. The contributions of earlier blocks and panels are computed as large matrix products.
 */
export async function feedErrors(
  products: Products,
  matrix: FeedbackInput,
  quantizer: PanelQuantizer,
): Promise<void> {
  const { rows, columns } = matrix;
  const panels = panelsOf(matrix);
  const terms: Float32Array[] = []; // V of each block above, [columns, rows of the block]
  for (let top = 0; top < rows; top += ROWS_PER_BLOCK) {
    const bottom = Math.min(rows, top + ROWS_PER_BLOCK);
    const height = bottom - top;
    const { rowFactor } = matrix;
    quantizer.setRows(top, bottom, rowFactor && cut(rowFactor, rows, top, bottom, top, bottom));
    const pushed = rowFactor && (await pushedDown(products, rowFactor, terms, matrix, top, bottom));
    const errors = new Float32Array(columns * height);
    const blockTerms = new Float32Array(rowFactor ? columns * height : 0);
    for (const { start, end, above, corner } of panels) {
      const fed =
        above &&
        (await products.transposedTimes(
          above,
          errors.subarray(0, start * height),
          start,
          end - start,
          height,
        ));
      const range = [start * height, end * height] as const;
      const input = { fed, pushed: pushed?.subarray(...range) };
      const panel = quantizer.quantize({ top, bottom, start, end }, corner, input);
      for (let column = start; column < end; column++) {
        const from = (column - start) * ROWS_PER_BLOCK;
        errors.set(panel.errors.subarray(from, from + height), column * height);
        if (rowFactor) blockTerms.set(panel.terms.subarray(from, from + height), column * height);
      }
    }
    terms.push(blockTerms);
  }
}

/** Returns the panels, columns that the kernel quantizes at once, with their parts of the factor. */
function panelsOf({ columns, columnFactor }: FeedbackInput) {
  return Array.from({ length: Math.ceil(columns / PANEL_COLUMNS) }, (_, i) => {
    const start = i * PANEL_COLUMNS;
    const end = Math.min(columns, start + PANEL_COLUMNS);
    return {
      start,
      end,
      above: start && columnFactor ? cut(columnFactor, columns, 0, start, start, end) : undefined,
      corner: columnFactor && cut(columnFactor, columns, start, end, start, end),
    };
  });
}

/** Computes what V of the blocks above adds to the terms of rows `top` to `bottom`: [columns, bottom - top]. */
async function pushedDown(
  products: Products,
  rowFactor: Float32Array,
  terms: readonly Float32Array[],
  { rows, columns }: FeedbackInput,
  top: number,
  bottom: number,
): Promise<Float32Array | undefined> {
  let sum: Float32Array | undefined;
  for (const [block, above] of terms.entries()) {
    const start = block * ROWS_PER_BLOCK;
    const height = ROWS_PER_BLOCK; // only the last block has fewer rows
    const share = cut(rowFactor, rows, start, start + height, top, bottom);
    const added = await products.times(above, share, columns, height, bottom - top);
    if (sum) for (let i = 0; i < sum.length; i++) sum[i]! += added[i]!;
    else sum = added;
  }
  return sum;
}
