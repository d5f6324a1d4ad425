import { grids } from './compiled/grids.js';
import { MAX_GROUP, MAX_LEVELS, PANEL_COLUMNS, ROWS_PER_BLOCK } from './constants.js';
import { type BufferSizes, type Buffers, type KernelExports, layOutBuffers, loadKernels } from './loader.js';
import { spread } from './spread.js';

interface Exports extends KernelExports {
  // biome-ignore format: the order of the arguments, on one line
  setFormat(group: number, low: number, high: number, isUniform: boolean, minimumKind: number, scaleStep: number): void;
  setRanges(lowScale: number, highScale: number, lowMinimum: number, highMinimum: number): void;
  // biome-ignore format: the order of the arguments, on one line
  choosePanel(rows: number, columns: number, hasFed: boolean, hasPushed: boolean, hasRows: boolean, hasColumns: boolean): void;
  revisePanel(rows: number, columns: number, hasRows: boolean): void;
}

const STRIDE = ROWS_PER_BLOCK;
const PANEL = [Float32Array, PANEL_COLUMNS * STRIDE] as const;
const GROUP = [Float32Array, MAX_GROUP * STRIDE] as const;
const SQUARES = [Float32Array, PANEL_COLUMNS * MAX_GROUP] as const;
/** One number per row and group; groups have at least 16 columns. */
const GROUPS = [Float32Array, (PANEL_COLUMNS / 16) * STRIDE] as const;
const ROW = [Float32Array, MAX_GROUP] as const;
const CANDIDATES = [Float32Array, MAX_GROUP * 4] as const;

const SIZES = {
  levels: [Float32Array, MAX_LEVELS],
  nearestCodes: [Uint8Array, 2 * MAX_LEVELS],
  shares: [Float32Array, 4],
  rowMatrix: [Float32Array, ROWS_PER_BLOCK * STRIDE],
  columnFactor: [Float32Array, PANEL_COLUMNS * PANEL_COLUMNS],
  columnCosts: [Float32Array, PANEL_COLUMNS],
  columnMoments: [Float32Array, PANEL_COLUMNS * PANEL_COLUMNS],
  inverses: SQUARES,
  scaleUnits: GROUPS,
  minimumUnits: GROUPS,
  scales: GROUPS,
  minimums: GROUPS,
  weights: PANEL,
  fed: PANEL,
  pushed: PANEL,
  codes: [Uint8Array, PANEL_COLUMNS * STRIDE],
  errors: PANEL,
  terms: PANEL,
  targets: GROUP,
  common: GROUP,
  aims: ROW,
  ones: ROW,
  values: CANDIDATES,
  candidates: CANDIDATES,
  bestValues: ROW,
  bestCodes: ROW,
} as const satisfies BufferSizes;

/** Padding after every buffer, for the last row's SIMD vector. */
const SLACK_BYTES = 16;

/** A format of grids, in numbers: see grids/format.ts. */
export interface KernelFormat {
  readonly group: number;
  readonly levels: readonly number[];
  readonly minimumKind: (typeof MINIMUM_KINDS)[number];
  readonly scaleRange: readonly [low: number, high: number];
  readonly minimumRange: readonly [low: number, high: number];
  /** Distance of neighboring candidates of a scale, in units. */
  readonly scaleStep: number;
  /** Shares of a group's range that are tried as the range of its codes. */
  readonly shares: readonly [number, number, number, number];
}

/**
 * Errors and terms of a panel, column by column; a column takes ROWS_PER_BLOCK entries, however many rows there are. Views of the kernel's
 * memory, valid until the next call.
 */
export interface KernelPanel {
  readonly errors: Float32Array;
  readonly terms: Float32Array;
}

/** The kernel that chooses codes on grids, and its memory: 2 MiB, one instance per thread. */
export class GridKernel {
  private readonly call = loadKernels<Exports>(grids);
  /** Views of the kernel's memory, which the caller fills in and reads: see assembly/grids.ts. */
  readonly buffers: Buffers<typeof SIZES> = layOutBuffers(this.call, SIZES, SLACK_BYTES);
  private hasRows = false;
  private hasColumns = false;

  setFormat({ group, levels, minimumKind, scaleRange, minimumRange, scaleStep, shares }: KernelFormat): void {
    const { buffers } = this;
    const [low, high] = [levels[0]!, levels.at(-1)!];
    const isUniform = levels.every((level, i) => level === low + i);
    buffers.levels.set(levels);
    buffers.shares.set(shares);
    if (!isUniform)
      for (let i = 0; i <= 2 * (high - low); i++)
        buffers.nearestCodes[i] = nearestTo(levels, low + i / 2 + 0.25); // borders between levels are at halves
    this.call.setFormat(group, low, high, isUniform, MINIMUM_KINDS.indexOf(minimumKind), scaleStep);
    this.call.setRanges(...scaleRange, ...minimumRange);
  }

  /**
   * Sets the factor of G of a block's rows, [rows, rows], of which only entries right of the diagonal are used; or, to revise choices, G, or
   * its diagonal, [rows]. Undefined: rows do not interact.
   */
  setRows(rows: number, matrix: Float32Array | undefined): void {
    const { rowMatrix } = this.buffers;
    this.hasRows = matrix !== undefined && matrix.length > rows;
    if (this.hasRows) spread(matrix!, rows, rowMatrix, STRIDE);
    else if (matrix) rowMatrix.set(matrix);
  }

  /**
   * Sets the cost of a squared error in each column of a panel, and the factor of H, [columns, columns], of which only entries right of the
   * diagonal are used; undefined: columns do not interact.
   */
  setColumns(costs: Float32Array, factor: Float32Array | undefined): void {
    const { columnCosts, columnFactor } = this.buffers;
    const columns = costs.length;
    columnCosts.set(costs);
    this.hasColumns = factor !== undefined;
    if (!factor) return;
    spread(factor, columns, columnFactor, PANEL_COLUMNS);
    for (let row = 0, at = 0; row < columns; row++, at += PANEL_COLUMNS)
      columnFactor.fill(0, at, at + row + 1);
  }

  /** Sets of a panel H, [columns, columns], and of each group of columns the decomposition of its square in H. */
  setSquares(columns: number, moments: Float32Array, squares: readonly Square[]): void {
    const { columnMoments, columnCosts, columnFactor, inverses } = this.buffers;
    spread(moments, columns, columnMoments, PANEL_COLUMNS);
    let first = 0;
    for (const { costs, factor, inverse } of squares) {
      columnCosts.set(costs, first);
      spread(factor, costs.length, columnFactor.subarray(first * MAX_GROUP), MAX_GROUP);
      spread(inverse, costs.length, inverses.subarray(first * MAX_GROUP), MAX_GROUP);
      first += costs.length;
    }
  }

  /**
   * Chooses a panel, whose weights and units are in the buffers.
   * @param fed what errors of the columns before the panel add to each weight, [columns, rows].
   * @param pushed what errors of the rows above the block add to each term.
   */
  choose(
    rows: number,
    columns: number,
    { fed, pushed }: { readonly fed?: Float32Array | undefined; readonly pushed?: Float32Array | undefined },
  ): KernelPanel {
    const { buffers } = this;
    if (fed) spread(fed, rows, buffers.fed, STRIDE);
    if (pushed) spread(pushed, rows, buffers.pushed, STRIDE);
    this.call.choosePanel(
      rows,
      columns,
      fed !== undefined,
      pushed !== undefined,
      this.hasRows,
      this.hasColumns,
    );
    return buffers;
  }

  /** Sets the gradient G E H of a panel, [columns, rows]. */
  setGradient(rows: number, gradient: Float32Array): void {
    spread(gradient, rows, this.buffers.pushed, STRIDE);
  }

  /** Chooses a panel again, whose weights, units, scales, minimums, codes and errors are in the buffers. */
  revise(rows: number, columns: number): void {
    this.call.revisePanel(rows, columns, this.hasRows);
  }
}

/** A square of H = M diag(costs) transposed(M), [n, n], M unit upper triangular. */
export interface Square {
  /** [n] */
  readonly costs: Float32Array;
  /** M above the diagonal, and 0 elsewhere. */
  readonly factor: Float32Array;
  readonly inverse: Float32Array;
}

const MINIMUM_KINDS = ['none', 'units', 'steps'] as const;

function nearestTo(levels: readonly number[], value: number): number {
  let best = 0;
  for (const [i, level] of levels.entries())
    if (Math.abs(level - value) < Math.abs(levels[best]! - value)) best = i;
  return best;
}
