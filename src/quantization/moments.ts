import type { matrixOf } from '../codecs/codec.js';
import { sumOf } from '../core/sum.js';
import type { Statistics, TensorStatistics } from './calibration/statistics.js';
import type { Moments } from './jobs.js';

/** What errors of a stored matrix cost, along its rows and its columns. */
export interface MatrixMoments {
  readonly rows: Moments;
  readonly columns: Moments;
}

// Shares of the mean that are added to a diagonal. Measured on gpt-neo-small, flat around these (docs/trellis.md).
const INPUT_DAMPING = 0.03;
const OUTPUT_DAMPING = 0.3;
/** Tokens that calibration text never had still matter: half as much as the average. */
const TOKEN_FLOOR = 0.5;
const POSITION_FLOOR = 0.1;

/**
 * The moments of a matrix [rows, columns], or of several, one below the other, from what calibration found.
 * A table of embeddings that is also the head pays for both: its errors are seen through its gradient where tokens are read, and
 * through the second moment of the hidden states where they are predicted.
 */
export async function momentsOf(
  statistics: Statistics | undefined,
  name: string,
  weights: Float32Array,
  matrix: ReturnType<typeof matrixOf>,
): Promise<MatrixMoments> {
  const { rows, columns } = matrix;
  const found = (await statistics?.tensor(name)) ?? [];
  const [first, second] = found;
  if (!first) return relativeError(weights, matrix);
  if (second && first.outputs.length === rows) return tied(found, rows, columns);
  const inputs = { values: first.inputs.slice(), damping: INPUT_DAMPING };
  if (first.kind === 'linear') {
    const outputs = { values: first.outputs.slice(), damping: OUTPUT_DAMPING };
    return first.transposed ? { rows: inputs, columns: outputs } : { rows: outputs, columns: inputs };
  }
  const floor = first.kind === 'embedding' && !hasRareRows(first.outputs) ? POSITION_FLOOR : TOKEN_FLOOR;
  return { rows: { values: first.outputs.slice(), damping: floor }, columns: inputs };
}

/** Without statistics: the same relative squared error in every matrix, those of a stack each for itself. */
function relativeError(
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

/** sum over rows of e (a_row A + b_row B) e^T, as one matrix and one weight per row that have the same trace. */
function tied(found: readonly TensorStatistics[], rows: number, columns: number): MatrixMoments {
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

/** Positions are all seen about as often; tokens are not. */
function hasRareRows(frequencies: Float32Array): boolean {
  const mean = sumOf(frequencies, (frequency) => frequency) / frequencies.length;
  return frequencies.some((frequency) => frequency < mean / 4);
}
