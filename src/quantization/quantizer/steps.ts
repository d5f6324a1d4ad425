import type { Codes } from '../../codecs/trellis/codes.js';
import { CONTEXT_LIMIT, STEP_CODE_LIMIT } from '../../codecs/trellis/codes.js';
import { MAX_INDEX, stepSizes } from '../../codecs/trellis/levels.js';

/** Step and context codes of a matrix, as stored. */
export interface StepCodes {
  /** Scale of all steps, a float32. */
  readonly scale: number;
  readonly rows: Codes;
  readonly columns: Codes;
}

/** The context whose expected magnitude is 1 step. */
const UNIT_CONTEXT = 24;

/** Maximum magnitude of a weight in steps: indices reach 2 * MAX_INDEX steps, and errors fed from other weights need some room. */
const MAX_STEPS = 1.5 * MAX_INDEX;

const MIN_SCALE = 2 ** -100;

/**
 * Computes steps proportional to 1 / (rowScale * columnScale), in quarter octaves, and contexts: the weights' spread in steps.
 * @param step the step where both scales are 1. @param rowScales, columnScales positive: the diagonals of the factors of G and H.
 */
export function stepCodes(
  weights: Float32Array,
  rowScales: Float32Array,
  columnScales: Float32Array,
  step: number,
): StepCodes {
  const [rowOctaves, columnOctaves] = [quarterOctaves(rowScales), quarterOctaves(columnScales)];
  const [rowMiddle, columnMiddle] = [median(rowOctaves), median(columnOctaves)];
  const rowSteps = Int16Array.from(rowOctaves, (octave) => clampCode(rowMiddle - octave));
  const columnSteps = Int16Array.from(columnOctaves, (octave) => clampCode(columnMiddle - octave));
  const scale = Math.fround(
    Math.min(1 / MIN_SCALE, Math.max(MIN_SCALE, step * 2 ** (-(rowMiddle + columnMiddle) / 4))),
  );
  widenRows(rowSteps, weights, stepSizes(columnSteps, scale));
  const spread = spreads(weights, rowScales.length, columnScales.length);
  const inSteps = 4 * Math.log2(spread.whole * scale) - UNIT_CONTEXT;
  return {
    scale,
    rows: { steps: rowSteps, contexts: contexts(spread.rows, rowSteps, 0) },
    columns: { steps: columnSteps, contexts: contexts(spread.columns, columnSteps, inSteps) },
  };
}

/**
 * Widens the steps of rows with a weight beyond the last index. Such rows belong to very frequent tokens or very strong features, so
 * their steps are tiny; clipping their weights would cause large errors where errors matter most.
 */
function widenRows(rowSteps: Int16Array, weights: Float32Array, columnSizes: Float32Array): void {
  const columns = columnSizes.length;
  for (let row = 0; row < rowSteps.length; row++) {
    let largest = 0;
    for (let column = 0; column < columns; column++)
      largest = Math.max(largest, Math.abs(weights[row * columns + column]!) / columnSizes[column]!);
    if (largest > 0)
      rowSteps[row] = clampCode(Math.max(rowSteps[row]!, Math.ceil(4 * Math.log2(largest / MAX_STEPS))));
  }
}

function quarterOctaves(scales: Float32Array): Int16Array {
  return Int16Array.from(scales, (scale) => Math.round(4 * Math.log2(scale)));
}

function contexts(spread: Float64Array, steps: Int16Array, subtracted: number): Int16Array {
  return Int16Array.from(spread, (deviation, i) => {
    const context = Math.round(4 * Math.log2(deviation) - subtracted) - steps[i]!;
    return Math.min(CONTEXT_LIMIT, Math.max(-CONTEXT_LIMIT, context));
  });
}

function clampCode(code: number): number {
  return Math.min(STEP_CODE_LIMIT, Math.max(-STEP_CODE_LIMIT, code));
}

function median(values: Int16Array): number {
  return values.toSorted()[values.length >> 1]!;
}

/** Computes the root mean squares of rows, of columns and of all weights; none of them is zero. */
function spreads(weights: Float32Array, rows: number, columns: number) {
  const [rowSums, columnSums] = [new Float64Array(rows), new Float64Array(columns)];
  let sum = 0;
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, i++) {
      const square = weights[i]! * weights[i]!;
      rowSums[row]! += square;
      columnSums[column]! += square;
    }
    sum += rowSums[row]!;
  }
  const rootMean = (n: number) => (square: number) => Math.sqrt(square / n) + 1e-12;
  return {
    rows: rowSums.map(rootMean(columns)),
    columns: columnSums.map(rootMean(rows)),
    whole: rootMean(weights.length)(sum),
  };
}
