import type { matrixOf } from '../codecs/codec.js';
import { sumOf } from '../core/sum.js';
import type { Statistics, TensorMoments } from './calibration/statistics.js';
import type { Moments } from './jobs.js';

/** Cost of errors of a stored matrix: moments along its rows and along its columns. */
export interface MatrixMoments {
  readonly rows: Moments;
  readonly columns: Moments;
}

// Damping: shares of the mean to add to a diagonal. Measured on gpt-neo-small; the optimum is flat (docs/trellis.md).
const INPUT_DAMPING = 0.03;
const OUTPUT_DAMPING = 0.3;
/** Minimum weight of a token, relative to the average: tokens missing in the calibration text still matter. */
const TOKEN_FLOOR = 0.5;
const POSITION_FLOOR = 0.1;

/**
 * Computes the moments of a matrix [rows, columns], or of a stack of matrices, from the calibration statistics.
 * Errors of an embedding that is also the head cost in both uses: through the gradient where tokens are looked up, and through the
 * second moment of the hidden states where tokens are predicted.
 */
export async function momentsOf(
  statistics: Statistics | undefined,
  name: string,
  weights: Float32Array,
  matrix: ReturnType<typeof matrixOf>,
): Promise<MatrixMoments> {
  return (await knownMoments(statistics, name, matrix)) ?? relativeError(weights, matrix);
}

/** The same; undefined where the statistics say nothing of the matrix. */
export async function knownMoments(
  statistics: Statistics | undefined,
  name: string,
  { rows, columns }: Pick<ReturnType<typeof matrixOf>, 'rows' | 'columns'>,
): Promise<MatrixMoments | undefined> {
  const found = (await statistics?.tensor(name)) ?? [];
  const [first, second] = found;
  if (!first || !fits(first, rows, columns)) return undefined;
  if (second && first.outputs.length === rows) return tied(found, rows, columns);
  const inputs = { values: first.inputs.slice(), damping: INPUT_DAMPING };
  if (first.kind === 'linear') {
    const outputs = { values: first.outputs.slice(), damping: OUTPUT_DAMPING };
    return first.transposed ? { rows: inputs, columns: outputs } : { rows: outputs, columns: inputs };
  }
  if (first.kind === 'experts')
    return { rows: { values: first.outputs.slice(), damping: OUTPUT_DAMPING }, columns: inputs };
  const floor = first.kind === 'embedding' && !hasRareRows(first.outputs) ? POSITION_FLOOR : TOKEN_FLOOR;
  return { rows: { values: first.outputs.slice(), damping: floor }, columns: inputs };
}

/** Returns whether the experts of a tensor are as many matrices as the codec sees in it: it takes narrow ones for one. */
function fits({ kind, inputs, outputs }: TensorMoments, rows: number, columns: number): boolean {
  const isOfColumns = inputs.length === columns * columns || inputs.length === columns;
  return kind !== 'experts' || (isOfColumns && outputs.length === rows);
}

/** Returns moments without statistics: they give every matrix, also each of a stack, the same relative squared error. */
export function relativeError(
  weights: Float32Array,
  { rows, columns, stack }: ReturnType<typeof matrixOf>,
): MatrixMoments {
  const values = new Float32Array(rows);
  const size = weights.length / stack;
  for (let i = 0; i < stack; i++) {
    const own = weights.subarray(i * size, (i + 1) * size);
    const square = sumOf(own, (weight) => weight * weight) / size;
    values.fill(1 / (square || 1), (i * rows) / stack, ((i + 1) * rows) / stack);
  }
  return { rows: { values, damping: 0 }, columns: { values: new Float32Array(columns).fill(1), damping: 0 } };
}

/** Approximates sum over rows of e (a_row A + b_row B) e^T by one matrix and one weight per row with the same trace. */
function tied(found: readonly TensorMoments[], rows: number, columns: number): MatrixMoments {
  const values = new Float32Array(columns * columns);
  const weights = new Float32Array(rows);
  for (const { inputs, outputs } of found) {
    const total = sumOf(outputs, (weight) => weight);
    let trace = 0;
    for (let i = 0; i < columns; i++) trace += inputs[i * columns + i]!;
    for (let i = 0; i < values.length; i++) values[i]! += inputs[i]! * total;
    for (let row = 0; row < rows; row++) weights[row]! += outputs[row]! * trace;
  }
  let trace = 0;
  for (let i = 0; i < columns; i++) trace += values[i * columns + i]!;
  return {
    rows: { values: weights.map((weight) => weight / trace), damping: TOKEN_FLOOR },
    columns: { values, damping: INPUT_DAMPING },
  };
}

/** Returns true for rows of very different frequencies: tokens, but not positions. */
function hasRareRows(frequencies: Float32Array): boolean {
  const mean = sumOf(frequencies, (frequency) => frequency) / frequencies.length;
  return frequencies.some((frequency) => frequency < mean / 4);
}
