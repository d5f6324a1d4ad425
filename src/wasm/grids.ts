import { grids } from './compiled.js';
import { MAX_GROUP, MAX_LEVELS, PANEL_COLUMNS, ROWS_PER_BLOCK } from './constants.js';
import { type BufferSizes, type Buffers, type KernelExports, layOutBuffers, loadKernels } from './loader.js';
import { spread } from './spread.js';

interface Exports extends KernelExports {
  // biome-ignore format: the order of the arguments, on one line
  setFormat(group: number, low: number, high: number, isUniform: boolean, minimumKind: number, scaleStep: number): void;
  setRanges(lowScale: number, highScale: number, lowMinimum: number, highMinimum: number): void;
  // biome-ignore format: the order of the arguments, on one line
  choosePanel(rows: number, columns: number, hasFed: boolean, hasPushed: boolean, hasRowFactor: boolean): void;
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
  rowFactor: [Float32Array, ROWS_PER_BLOCK * STRIDE],
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
  readonly minimumKind: 'none' | 'units' | 'steps';
  readonly scaleRange: readonly [low: number, high: number];
  readonly minimumRange: readonly [low: number, high: number];
  /** Distance of neighboring candidates of a scale, in units. */
  readonly scaleStep: number;
  /** Shares of a group's range that are tried as the range of its codes. */
  readonly shares: readonly [number, number, number, number];
}

/** The kernel that chooses codes on grids, and its memory: 2 MiB, one instance per thread. */
export class GridKernel {
  private readonly call = loadKernels<Exports>(grids);
  /** Views of the kernel's memory; a column takes ROWS_PER_BLOCK entries, however many rows there are. */
  readonly buffers: Buffers<typeof SIZES> = layOutBuffers(this.call, SIZES, SLACK_BYTES);
  private hasRowFactor = false;

  setFormat({ group, levels, minimumKind, scaleRange, minimumRange, scaleStep, shares }: KernelFormat): void {
    const { buffers } = this;
    const [low, high] = [levels[0]!, levels.at(-1)!];
    const isUniform = levels.every((level, i) => level === low + i);
    buffers.levels.set(levels);
    buffers.shares.set(shares);
    if (!isUniform)
      buffers.nearestCodes.set(
        Uint8Array.from({ length: 2 * (high - low) + 1 }, (_, i) => nearestTo(levels, low + i / 2 + 0.25)),
      );
    const kind = ['none', 'units', 'steps'].indexOf(minimumKind);
    this.call.setFormat(group, low, high, isUniform, kind, scaleStep);
    this.call.setRanges(...scaleRange, ...minimumRange);
  }

  /** Sets the factor of G of a block's rows, [rows, rows]; only entries right of the diagonal are used. Undefined: rows do not interact. */
  setRowFactor(rows: number, factor: Float32Array | undefined): void {
    this.hasRowFactor = factor !== undefined;
    if (factor) spread(factor, rows, this.buffers.rowFactor, STRIDE);
  }

  /** Sets the factor of H of a panel's columns, [columns, columns]; only entries right of the diagonal are used. */
  setColumnFactor(columns: number, factor: Float32Array): void {
    const { columnFactor } = this.buffers;
    spread(factor, columns, columnFactor, PANEL_COLUMNS);
    for (let row = 0; row < columns; row++)
      columnFactor.fill(0, row * PANEL_COLUMNS, row * PANEL_COLUMNS + row + 1);
  }

  /** Chooses the codes of a panel; arguments as of the quantizer's kernel. */
  quantize(
    rows: number,
    columns: number,
    weights: Float32Array,
    fed: Float32Array | undefined,
    pushed: Float32Array | undefined,
  ): { readonly errors: Float32Array; readonly terms: Float32Array } {
    const { buffers } = this;
    spread(weights, rows, buffers.weights, STRIDE);
    if (fed) spread(fed, rows, buffers.fed, STRIDE);
    if (pushed) spread(pushed, rows, buffers.pushed, STRIDE);
    this.call.choosePanel(rows, columns, fed !== undefined, pushed !== undefined, this.hasRowFactor);
    return buffers;
  }

  revise(rows: number, columns: number, hasRows: boolean): void {
    this.call.revisePanel(rows, columns, hasRows);
  }
}

function nearestTo(levels: readonly number[], value: number): number {
  let best = 0;
  for (const [i, level] of levels.entries())
    if (Math.abs(level - value) < Math.abs(levels[best]! - value)) best = i;
  return best;
}
