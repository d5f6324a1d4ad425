// The slow, obvious quantizer, written from docs/trellis.md: plain numbers, one weight at a time, each survivor a list of
// all that it did.
import { CONTEXTS, level, MAX_INDEX, NEXT_STATE, ROWS_PER_BLOCK } from '../../src/codecs/trellis/levels.js';
import type { MatrixInput } from '../../src/quantization/quantizer/matrix.js';

/** What choosing an index costs. */
export interface Choices {
  readonly prices: Float32Array;
  readonly shrinks: Float32Array;
  readonly lambda: number;
}

interface Survivor {
  readonly cost: number;
  readonly indices: readonly number[];
  /** Value minus target, of each row so far. */
  readonly terms: readonly number[];
}

/** What index `k` stands for under a quantizer, in steps. */
export function reconstruct({ shrinks }: Choices, context: number, quantizer: number, k: number): number {
  const shrink = shrinks[(context * 2 + quantizer) * 4 + Math.min(3, Math.abs(k))]!;
  return Math.sign(k) * (Math.abs(level(quantizer, k)) - shrink);
}

function priceOf({ prices }: Choices, context: number, quantizer: number, k: number): number {
  return prices[(context * 2 + quantizer) * (2 * MAX_INDEX + 1) + k + MAX_INDEX]!;
}

export function contextOf(matrix: MatrixInput, row: number, column: number): number {
  return Math.min(CONTEXTS - 1, Math.max(0, matrix.rowContexts[row]! + matrix.columnContexts[column]!));
}

const stepOf = (matrix: MatrixInput, row: number, column: number): number =>
  matrix.rowSteps[row]! * matrix.columnSteps[column]!;

/** Entry of a unit upper triangular factor; without one, of the identity. */
function entry(factor: Float32Array | undefined, n: number, row: number, column: number): number {
  if (row === column) return 1;
  return factor && row < column ? factor[row * n + column]! : 0;
}

/** When rows are decided for good before a column ends: in runs of `run`, once `depth` more have been seen. */
export interface Deciding {
  readonly run: number;
  readonly depth: number;
}

/** Indices of a matrix, [rows, columns]. Without `deciding`, a column is decided at the end of its block. */
export function quantizeSlowly(matrix: MatrixInput, choices: Choices, deciding?: Deciding): Int16Array {
  const { rows, columns, weights, columnFactor, rowFactor } = matrix;
  const indices = new Int16Array(rows * columns);
  const errors = new Float64Array(rows * columns);
  const terms = new Float64Array(rows * columns); // V = E M
  for (let top = 0; top < rows; top += ROWS_PER_BLOCK)
    for (let column = 0; column < columns; column++) {
      const bottom = Math.min(rows, top + ROWS_PER_BLOCK);
      const targets: number[] = [];
      const pushed: number[] = [];
      for (let row = top; row < bottom; row++) {
        let target = weights[row * columns + column]!;
        if (columnFactor)
          for (let j = 0; j < column; j++)
            target -= errors[row * columns + j]! * columnFactor[j * columns + column]!;
        targets.push(target);
        let sum = 0;
        if (rowFactor)
          for (let k = 0; k < top; k++) sum += terms[k * columns + column]! * rowFactor[k * rows + row]!;
        pushed.push(sum);
      }
      const chosen = quantizeColumn(matrix, choices, top, column, targets, pushed, deciding);
      chosen.indices.forEach((k, i) => {
        const at = (top + i) * columns + column;
        indices[at] = k;
        terms[at] = chosen.terms[i]!;
        errors[at] = chosen.terms[i]! + targets[i]! - weights[at]!;
      });
    }
  return indices;
}

function quantizeColumn(
  matrix: MatrixInput,
  choices: Choices,
  top: number,
  column: number,
  targets: readonly number[],
  pushed: readonly number[],
  deciding: Deciding | undefined,
): Survivor {
  let survivors = new Map<number, Survivor>([[0, { cost: 0, indices: [], terms: [] }]]);
  targets.forEach((target, i) => {
    if (deciding && i % deciding.run === 0) survivors = decided(survivors, i - deciding.depth);
    const row = top + i;
    const step = stepOf(matrix, row, column);
    const context = contextOf(matrix, row, column);
    const best = new Map<number, { cost: number; from: Survivor; k: number; term: number }>();
    for (const [state, from] of survivors) {
      let fed = pushed[i]!;
      if (matrix.rowFactor)
        for (let k = 0; k < i; k++) fed += from.terms[k]! * matrix.rowFactor[(top + k) * matrix.rows + row]!;
      const wanted = (target - fed) / step;
      for (const k of candidates(wanted)) {
        const value = reconstruct(choices, context, state & 1, k);
        const price = priceOf(choices, context, state & 1, k);
        const cost = from.cost + (wanted - value) ** 2 + choices.lambda * price;
        const to = NEXT_STATE[state]![Math.abs(k) % 2]!;
        if (cost < (best.get(to)?.cost ?? Infinity))
          best.set(to, { cost, from, k, term: value * step - target });
      }
    }
    survivors = new Map();
    for (const [state, { cost, from, k, term }] of best)
      survivors.set(state, { cost, indices: [...from.indices, k], terms: [...from.terms, term] });
  });
  return cheapest(survivors);
}

function cheapest(survivors: ReadonlyMap<number, Survivor>): Survivor {
  return [...survivors.values()].reduce((best, other) => (other.cost < best.cost ? other : best));
}

/** The survivors that agree with the cheapest on the first `rows` rows. */
function decided(survivors: Map<number, Survivor>, rows: number): Map<number, Survivor> {
  const { indices } = cheapest(survivors);
  const agrees = ([, survivor]: [number, Survivor]) =>
    indices.every((k, i) => i >= rows || survivor.indices[i] === k);
  return new Map([...survivors].filter(agrees));
}

/** Zero, and every index that might be worth its price: those of levels around `wanted`, and some nearer to zero. */
function candidates(wanted: number): number[] {
  const center = Math.round(wanted / 2);
  const around = Array.from({ length: 9 }, (_, i) => center + i - 4);
  return [...new Set([...around, 0].map((k) => Math.min(MAX_INDEX, Math.max(-MAX_INDEX, k))))];
}

/** Decoded weights, float64, as any decoder finds them from indices alone. */
export function decodeSlowly(matrix: MatrixInput, choices: Choices, indices: Int16Array): Float64Array {
  return visit(matrix, indices, (row, column, context, quantizer, k) =>
    Math.fround(
      Math.fround(Math.fround(reconstruct(choices, context, quantizer, k)) * matrix.rowSteps[row]!) *
        matrix.columnSteps[column]!,
    ),
  );
}

/** What the quantizer makes small: error, in squared steps, and lambda times bits. */
export function objective(
  matrix: MatrixInput,
  choices: Choices,
  indices: Int16Array,
): { error: number; bits: number; cost: number } {
  const { rows, columns, weights, columnFactor, rowFactor } = matrix;
  const decoded = decodeSlowly(matrix, choices, indices);
  const bits = visit(matrix, indices, (_row, _column, context, quantizer, k) =>
    priceOf(choices, context, quantizer, k),
  ).reduce((sum, price) => sum + price, 0);
  const errors = decoded.map((value, i) => value - weights[i]!);
  const terms = errors.map((_, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let j = 0; j <= column; j++)
      sum += errors[row * columns + j]! * entry(columnFactor, columns, j, column);
    return sum;
  });
  let error = 0;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let k = 0; k <= row; k++) sum += terms[k * columns + column]! * entry(rowFactor, rows, k, row);
      error += (sum / stepOf(matrix, row, column)) ** 2;
    }
  return { error, bits, cost: error + choices.lambda * bits };
}

function visit(
  matrix: MatrixInput,
  indices: Int16Array,
  see: (row: number, column: number, context: number, quantizer: number, k: number) => number,
): Float64Array {
  const { rows, columns } = matrix;
  const result = new Float64Array(rows * columns);
  const states = new Uint8Array(columns);
  for (let row = 0; row < rows; row++) {
    if (row % ROWS_PER_BLOCK === 0) states.fill(0);
    for (let column = 0; column < columns; column++) {
      const at = row * columns + column;
      const k = indices[at]!;
      result[at] = see(row, column, contextOf(matrix, row, column), states[column]! & 1, k);
      states[column] = NEXT_STATE[states[column]!]![Math.abs(k) % 2]!;
    }
  }
  return result;
}
