import type { FeedbackInput } from './matrix.js';

/** A matrix to quantize to grids, with the moments that its factors are of. */
export interface GridInput extends FeedbackInput {
  /** For errors. */
  readonly name: string;
  /** Cost of a squared error in each column when errors are fed on. */
  readonly columnCosts: Float32Array;
  /** H, damped: [columns, columns], or its diagonal. */
  readonly columnMoments: Float32Array;
  /** G, damped: [rows, rows], or its diagonal. */
  readonly rowMoments: Float32Array;
}
