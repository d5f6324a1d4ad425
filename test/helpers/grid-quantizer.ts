// The slow, obvious quantizer to grids: plain numbers, one weight at a time, whole sums instead of running ones. It knows blocks of rows and
// panels of columns only as the order in which choices are revised.
import type { GridCodes, GridFormat } from '../../src/grids/format.js';
import { PANEL_COLUMNS, ROWS_PER_BLOCK } from '../../src/wasm/constants.js';

/** A matrix to quantize; loss = tr(G E H transposed(E)). */
export interface SlowMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly weights: ArrayLike<number>;
  /** [columns, columns] */
  readonly H: ArrayLike<number>;
  /** [rows, rows] */
  readonly G: ArrayLike<number>;
}

/** What a group of a row is given. */
export interface Choice {
  readonly row: number;
  /** First column of the group, and the one after its last. */
  readonly start: number;
  readonly end: number;
  readonly scale: number;
  readonly minimum: number;
  /** [end - start] */
  readonly codes: readonly number[];
  /** What the group costs by the metric that it was chosen in. */
  readonly cost: number;
}

/** A choice beside the one that is followed, by the same metric. */
export interface Compared {
  readonly slow: Choice;
  readonly followed: Choice;
}

/** Units of scales and minimums, as {@link GridCodes} has them. */
export type Units = Pick<GridCodes, 'scaleUnits' | 'minimumUnits'>;

/** [m, k] times [k, n], in float64. */
export function times(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  m: number,
  k: number,
  n: number,
): Float64Array {
  const result = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let l = 0; l < k; l++)
      for (let j = 0, share = a[i * k + l]!; share && j < n; j++) result[i * n + j]! += share * b[l * n + j]!;
  return result;
}

/** tr(G E H transposed(E)), errors [rows, columns]. */
export function lossOf({ rows, columns, G, H }: SlowMatrix, errors: ArrayLike<number>): number {
  const right = times(errors, H, rows, columns, columns);
  const left = times(G, errors, rows, rows, columns);
  return left.reduce((sum, value, i) => sum + value * right[i]!, 0);
}

/** Decomposes A = M diag(costs) transposed(M), M unit upper triangular. */
export function decompose(A: ArrayLike<number>, n: number): { M: Float64Array; costs: Float64Array } {
  const M = new Float64Array(n * n);
  const costs = new Float64Array(n);
  for (let j = n - 1; j >= 0; j--)
    for (let i = j; i >= 0; i--) {
      let sum = A[i * n + j]!;
      for (let k = j + 1; k < n; k++) sum -= M[i * n + k]! * costs[k]! * M[j * n + k]!;
      if (i === j) costs[j] = sum;
      M[i * n + j] = sum / costs[j]!;
    }
  return { M, costs };
}

/** Shares of the range of a group, by the number of levels. */
const SHARES = new Map([
  [4, [1, 0.87, 0.74, 0.6]],
  [8, [1, 0.87, 0.74, 0.6]],
  [16, [1, 0.92, 0.84, 0.75]],
  [32, [1, 0.95, 0.9, 0.8]],
  [64, [1, 0.98, 0.95, 0.9]],
  [256, [1, 0.98, 0.95, 0.9]],
]);

/** Which numbers of units scales and minimums may be. */
interface Rules {
  readonly scale: readonly [low: number, high: number];
  readonly minimum: readonly [low: number, high: number];
  readonly step: number;
}

const isZeroPoints = ({ minimums }: GridFormat) => typeof minimums === 'object' && 'zeroPoints' in minimums;

function rulesOf({ scales, minimums }: GridFormat): Rules {
  const rangeOf = (range: GridFormat['minimums']): readonly [number, number] => {
    if (range === undefined) return [0, 0];
    if (range === 'float16') return [-2047, 2047];
    return 'zeroPoints' in range ? [range.zeroPoints.low, range.zeroPoints.high] : [range.low, range.high];
  };
  const [low, high] = rangeOf(scales);
  return {
    scale: [minimums ? Math.max(0, low) : low, high],
    minimum: rangeOf(minimums),
    step: scales === 'float16' ? 8 : 1,
  };
}

/** A group of one row: which values would cost nothing, and what each error costs beside those before it. */
interface Problem {
  readonly row: number;
  readonly start: number;
  readonly end: number;
  /** The values that would cost nothing, [end - start]. */
  readonly wanted: readonly number[];
  /** The range that is covered first. */
  readonly range: readonly number[];
  /** Cost = sum over j of costs[j] (d_j + sum over i < j of d_i M_ij) squared, where d is value - wanted. */
  readonly share: (i: number, j: number) => number;
  readonly costs: (j: number) => number;
}

/** Chooses scales, minimums and codes of single groups. */
class Chooser {
  private readonly rules: Rules;
  private readonly groups: number;

  constructor(
    private readonly format: GridFormat,
    columns: number,
    private readonly units: Units,
  ) {
    this.rules = rulesOf(format);
    this.groups = Math.ceil(columns / format.group);
  }

  private unitOf(problem: Problem, units: Float32Array, isOwn: boolean): number {
    const { group, block } = this.format;
    const place = Math.floor(problem.start / (isOwn ? group : block));
    const perRow = isOwn ? this.groups : Math.ceil((this.groups * group) / block);
    return units[problem.row * perRow + place] ?? 0;
  }

  scaleUnit(problem: Problem): number {
    return this.unitOf(problem, this.units.scaleUnits, this.format.scales === 'float16');
  }

  minimumUnit(problem: Problem, scale: number): number {
    if (isZeroPoints(this.format)) return scale * this.scaleUnit(problem);
    return this.unitOf(problem, this.units.minimumUnits, this.format.minimums === 'float16');
  }

  valuesOf(
    problem: Problem,
    { scale, minimum, codes }: Pick<Choice, 'scale' | 'minimum' | 'codes'>,
  ): number[] {
    const { levels } = this.format;
    const [s, m] = [scale * this.scaleUnit(problem), minimum * this.minimumUnit(problem, scale)];
    return codes.map((code) => levels[code]! * s - m);
  }

  /** Returns the sum over i < j of d_i M_ij. */
  private before({ share }: Problem, d: readonly number[], j: number): number {
    let sum = 0;
    for (let i = 0; i < j; i++) sum += d[i]! * share(i, j);
    return sum;
  }

  private filtered(problem: Problem, d: readonly number[]): number[] {
    return d.map((own, j) => own + this.before(problem, d, j));
  }

  costOf(problem: Problem, values: readonly number[]): number {
    const terms = this.filtered(
      problem,
      values.map((value, j) => value - problem.wanted[j]!),
    );
    return terms.reduce((sum, term, j) => sum + problem.costs(j) * term * term, 0);
  }

  /** Rounds a group to a grid, from its first column to its last. */
  private round(problem: Problem, wantedScale: number, wantedMinimum: number): Choice {
    const { rules } = this;
    const { levels } = this.format;
    const clamped = (value: number, [low, high]: readonly [number, number]) =>
      Math.min(high, Math.max(low, Math.round(value)));
    const scale = clamped(wantedScale, rules.scale);
    const minimum = clamped(wantedMinimum, rules.minimum);
    const [s, m] = [scale * this.scaleUnit(problem), minimum * this.minimumUnit(problem, scale)];
    const codes: number[] = [];
    const d: number[] = [];
    for (const [j, wanted] of problem.wanted.entries()) {
      const steps = s === 0 ? 0 : (wanted - this.before(problem, d, j) + m) / s;
      let best = 0;
      while (best + 1 < levels.length && steps > (levels[best]! + levels[best + 1]!) / 2) best++;
      codes.push(best);
      d.push(levels[best]! * s - m - wanted);
    }
    const { row, start, end } = problem;
    const choice = { row, start, end, scale, minimum, codes };
    return { ...choice, cost: this.costOf(problem, this.valuesOf(problem, choice)) };
  }

  /** The best of some grids and of what is best so far, which wins a draw. */
  private best(
    problem: Problem,
    so: Choice | undefined,
    grids: readonly (readonly [scale: number, minimum: number])[],
  ): Choice {
    let best = so;
    for (const [scale, minimum] of grids) {
      const other = this.round(problem, scale, minimum);
      if (!best || other.cost < best.cost) best = other;
    }
    return best!;
  }

  /** Grids that cover shares of the range. */
  fromRanges(problem: Problem): Choice {
    const { levels, minimums } = this.format;
    const [lowest, highest] = [levels[0]!, levels.at(-1)!];
    const shares = SHARES.get(levels.length)!;
    const [low, high] = [Math.min(...problem.range), Math.max(...problem.range)];
    if (!minimums) {
      const largest = high > -low ? high : low;
      const unit = this.scaleUnit(problem);
      const toward = (end: number) => shares.map((share) => [(share * largest) / end / unit, 0] as const);
      return this.best(problem, undefined, [...toward(lowest), ...toward(highest)]);
    }
    const [bottom, top] = [Math.min(low, 0), Math.max(high, 0)];
    const scale = (top - bottom) / (highest - lowest);
    const scaleCode = scale / this.scaleUnit(problem);
    const minimumUnit = isZeroPoints(this.format) ? scale : this.minimumUnit(problem, 0);
    return this.best(
      problem,
      undefined,
      shares.map((share) => {
        const minimum = isZeroPoints(this.format) ? -bottom / (scale || 1) : (share * -bottom) / minimumUnit;
        return [share * scaleCode, minimum] as const;
      }),
    );
  }

  /** Grids beside the present one. */
  fromNeighbors(problem: Problem, present: Choice): Choice {
    const { step } = this.rules;
    const { scale, minimum } = present;
    if (!this.format.minimums)
      return this.best(
        problem,
        present,
        [-1, 0, 1, 2].map((i) => [scale + i * step, 0] as const),
      );
    return this.best(problem, present, [
      [scale, minimum],
      [scale, minimum + 1],
      [scale + step, minimum],
      [scale - step, minimum],
    ]);
  }

  /** Grids beside the one that fits the codes by least squares, as long as that helps, at most three times. */
  fitted(problem: Problem, from: Choice): Choice {
    let best = from;
    for (let i = 0; i < 3; i++) {
      const next = this.best(problem, best, this.fittingGrids(problem, best.codes));
      if (next === best) break;
      best = next;
    }
    return best;
  }

  private fittingGrids(problem: Problem, codes: readonly number[]): readonly (readonly [number, number])[] {
    const { rules } = this;
    const { step } = rules;
    const u = this.filtered(
      problem,
      codes.map((code) => this.format.levels[code]!),
    );
    const one = this.filtered(
      problem,
      codes.map(() => 1),
    );
    const x = this.filtered(problem, problem.wanted);
    const inner = (a: readonly number[], b: readonly number[]) =>
      a.reduce((sum, value, j) => sum + problem.costs(j) * value * b[j]!, 0);
    const unit = this.scaleUnit(problem);
    if (!(inner(u, u) > 0)) return [];
    if (!this.format.minimums) {
      const code = Math.floor(inner(u, x) / inner(u, u) / unit / step) * step;
      return [-1, 0, 1, 2].map((i) => [code + i * step, 0]);
    }
    const determinant = inner(u, u) * inner(one, one) - inner(u, one) ** 2;
    if (!(determinant > 1e-9 * inner(u, u) * inner(one, one))) return [];
    const scale = (inner(u, x) * inner(one, one) - inner(one, x) * inner(u, one)) / determinant;
    const code = Math.floor(scale / unit / step) * step;
    return [code, code + step].flatMap((wanted) => {
      const own = Math.min(rules.scale[1], Math.max(rules.scale[0], wanted));
      const fit = (own * unit * inner(u, one) - inner(one, x)) / inner(one, one);
      const minimumUnit = this.minimumUnit(problem, own);
      const minimum = minimumUnit ? Math.floor(fit / minimumUnit) : 0;
      return [
        [own, minimum],
        [own, minimum + 1],
      ] as const;
    });
  }
}

/** Reads the choice of a group out of a matrix of codes. */
function choiceIn(matrix: GridCodes, group: number, row: number, start: number, end: number) {
  const { columns, codes, scales, minimums } = matrix;
  const at = row * Math.ceil(columns / group) + start / group;
  return {
    row,
    start,
    end,
    scale: scales[at]!,
    minimum: minimums[at]!,
    codes: Array.from(codes.subarray(row * columns + start, row * columns + end)),
  };
}

/**
 * Chooses all groups, each with the errors of earlier columns and rows fed on. @param follow what is taken in place of its own choices once
 * they are made, so that choices can be compared one by one; by default its own.
 */
export function chooseSlowly(
  matrix: SlowMatrix,
  format: GridFormat,
  units: Units,
  follow?: GridCodes,
): { readonly choices: readonly Compared[]; readonly errors: Float64Array } {
  const { rows, columns, weights } = matrix;
  const [h, g] = [decompose(matrix.H, columns), decompose(matrix.G, rows)];
  const chooser = new Chooser(format, columns, units);
  const errors = new Float64Array(rows * columns);
  const V = new Float64Array(rows * columns); // E M_H
  const choices: Compared[] = [];
  for (let start = 0; start < columns; start += format.group) {
    const end = Math.min(columns, start + format.group);
    for (let row = 0; row < rows; row++) {
      const aims = Array.from({ length: end - start }, (_, j) => {
        let aim = weights[row * columns + start + j]!;
        for (let i = 0; i < start; i++) aim -= errors[row * columns + i]! * h.M[i * columns + start + j]!;
        for (let k = 0; k < row; k++) aim -= g.M[k * rows + row]! * V[k * columns + start + j]!;
        return aim;
      });
      const share = (i: number, j: number) => h.M[(start + i) * columns + start + j]!;
      // An error of a weight is fed on; d_j = e_j + (what is fed to it) is 0 where the value is the weight plus what follows from the aims.
      const wanted: number[] = [];
      for (const [j, aim] of aims.entries()) {
        let value = aim;
        for (let i = 0; i < j; i++) value -= (wanted[i]! - weights[row * columns + start + i]!) * share(i, j);
        wanted.push(value);
      }
      const problem = {
        row,
        start,
        end,
        wanted,
        range: aims,
        share,
        costs: (j: number) => h.costs[start + j]!,
      };
      const slow = chooser.fitted(problem, chooser.fromRanges(problem));
      const followed = follow ? choiceIn(follow, format.group, row, start, end) : slow;
      const values = chooser.valuesOf(problem, followed);
      choices.push({ slow, followed: { ...followed, cost: chooser.costOf(problem, values) } });
      for (const [j, value] of values.entries()) {
        const at = row * columns + start + j;
        errors[at] = value - weights[at]!;
      }
      for (let j = start; j < end; j++) {
        let sum = 0;
        for (let i = 0; i <= j; i++) sum += errors[row * columns + i]! * h.M[i * columns + j]!;
        V[row * columns + j] = sum;
      }
    }
  }
  return { choices, errors };
}

/** Chooses each group again, with all others as they are. @param follow see {@link chooseSlowly}. */
export function reviseSlowly(
  matrix: SlowMatrix,
  format: GridFormat,
  before: GridCodes,
  follow?: GridCodes,
): { readonly choices: readonly Compared[]; readonly errors: Float64Array } {
  const { rows, columns, weights, G, H } = matrix;
  const chooser = new Chooser(format, columns, before);
  const errors = new Float64Array(rows * columns);
  const choices: Compared[] = [];
  const squares = new Map<number, ReturnType<typeof decompose>>();
  for (const { row, start, end } of visits(rows, columns, format.group)) {
    const problem = { row, start, end } as Problem;
    const values = chooser.valuesOf(problem, choiceIn(before, format.group, row, start, end));
    for (const [j, value] of values.entries())
      errors[row * columns + start + j] = value - weights[row * columns + start + j]!;
  }
  const right = times(errors, H, rows, columns, columns); // E H
  for (const { row, start, end } of visits(rows, columns, format.group)) {
    const n = end - start;
    if (!squares.has(start))
      squares.set(
        start,
        decompose(
          Float64Array.from(
            { length: n * n },
            (_, i) => H[(start + Math.floor(i / n)) * columns + start + (i % n)]!,
          ),
          n,
        ),
      );
    const { M, costs } = squares.get(start)!;
    const gradient = Array.from({ length: n }, (_, j) => {
      let sum = 0;
      for (let k = 0; k < rows; k++) sum += G[row * rows + k]! * right[k * columns + start + j]!;
      return sum / G[row * rows + row]!;
    });
    // The step d to the least loss solves d M diag(costs) transposed(M) = -gradient.
    const half = [...gradient];
    for (let j = n - 1; j >= 0; j--) for (let k = j + 1; k < n; k++) half[j]! -= half[k]! * M[j * n + k]!;
    const step = half.map((value, j) => -value / costs[j]!);
    for (let j = 0; j < n; j++) for (let i = 0; i < j; i++) step[j]! -= step[i]! * M[i * n + j]!;
    const wanted = step.map(
      (d, j) => weights[row * columns + start + j]! + errors[row * columns + start + j]! + d,
    );
    const share = (i: number, j: number) => M[i * n + j]!;
    const problem = { row, start, end, wanted, range: [], share, costs: (j: number) => costs[j]! };
    const own = choiceIn(before, format.group, row, start, end);
    const present = { ...own, cost: chooser.costOf(problem, chooser.valuesOf(problem, own)) };
    const slow = chooser.fitted(problem, chooser.fromNeighbors(problem, present));
    const followed = follow ? choiceIn(follow, format.group, row, start, end) : slow;
    const values = chooser.valuesOf(problem, followed);
    choices.push({ slow, followed: { ...followed, cost: chooser.costOf(problem, values) } });
    for (const [j, value] of values.entries()) {
      const at = row * columns + start + j;
      const change = value - weights[at]! - errors[at]!;
      errors[at]! += change;
      for (let i = 0; change && i < columns; i++)
        right[row * columns + i]! += change * H[(start + j) * columns + i]!;
    }
  }
  return { choices, errors };
}

/** Groups in the order in which they are revised. */
function* visits(rows: number, columns: number, group: number) {
  for (let panel = 0; panel < columns; panel += PANEL_COLUMNS)
    for (let top = 0; top < rows; top += ROWS_PER_BLOCK)
      for (let start = panel; start < Math.min(columns, panel + PANEL_COLUMNS); start += group)
        for (let row = top; row < Math.min(rows, top + ROWS_PER_BLOCK); row++)
          yield { row, start, end: Math.min(columns, start + group) };
}
