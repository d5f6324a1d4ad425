import { quantize } from './compiled/quantize.js';
import { CONTEXTS, INDICES, PANEL_COLUMNS, ROWS_PER_BLOCK } from './constants.js';
import { type BufferSizes, type Buffers, type KernelExports, layOutBuffers, loadKernels } from './loader.js';
import { spread } from './spread.js';

export { PANEL_COLUMNS };

interface Exports extends KernelExports {
  // biome-ignore format: the order of the arguments, on one line
  quantizePanel(rows: number, columns: number, hasFed: boolean, hasPushed: boolean, hasRowFactor: boolean): void;
}

const STRIDE = ROWS_PER_BLOCK;
const PANEL = [Float32Array, PANEL_COLUMNS * STRIDE] as const;
/** One number per row and per state after that row. */
const PATHS = [Float32Array, ROWS_PER_BLOCK * 8] as const;

const SIZES = {
  choices: [Float32Array, CONTEXTS * 2 * INDICES * 2],
  rowFactor: [Float32Array, ROWS_PER_BLOCK * STRIDE],
  columnFactor: [Float32Array, PANEL_COLUMNS * PANEL_COLUMNS],
  rowSteps: [Float32Array, ROWS_PER_BLOCK],
  columnSteps: [Float32Array, PANEL_COLUMNS],
  rowContexts: [Int32Array, ROWS_PER_BLOCK],
  columnContexts: [Int32Array, PANEL_COLUMNS],
  target: [Float32Array, STRIDE],
  weights: PANEL,
  fed: PANEL,
  pushed: PANEL,
  errors: PANEL,
  terms: PANEL,
  indices: [Int16Array, PANEL_COLUMNS * STRIDE],
  pathIndices: PATHS,
  pathErrors: PATHS,
  pathOrigins: PATHS,
  common: [Float32Array, STRIDE],
  own: [Float32Array, 8 * STRIDE],
  ownNext: [Float32Array, 8 * STRIDE],
} as const satisfies BufferSizes;

/** Padding after every buffer, for the last row's SIMD vector. */
const SLACK_BYTES = 16;

/**
 * A quantized panel: at most ROWS_PER_BLOCK rows and PANEL_COLUMNS columns of a matrix. Stored column by column; a column
 * takes ROWS_PER_BLOCK entries, however many rows there are. Views of the kernel's memory, valid until the next call.
 */
export interface Panel {
  readonly errors: Float32Array;
  readonly terms: Float32Array;
  readonly indices: Int16Array;
}

/** The quantizer's kernel and its memory: 5 MiB, one instance per thread. */
export class QuantizerKernel {
  private readonly call = loadKernels<Exports>(quantize);
  private readonly buffers: Buffers<typeof SIZES> = layOutBuffers(this.call, SIZES, SLACK_BYTES);
  private hasRowFactor = false;

  /** Pairs of an index's cost and its level, [CONTEXTS][2][INDICES]; the caller fills them in. */
  get choices(): Float32Array {
    return this.buffers.choices;
  }

  /** Sets the factor of G of a block's rows, [rows, rows]; only entries right of the diagonal are used. Undefined: rows do not interact. */
  setRowFactor(rows: number, factor: Float32Array | undefined): void {
    this.hasRowFactor = factor !== undefined;
    if (factor) spread(factor, rows, this.buffers.rowFactor, STRIDE);
  }

  /** Sets the factor of H of a panel's columns, [columns, columns]; only entries right of the diagonal are used. Undefined: columns do not interact. */
  setColumnFactor(columns: number, factor: Float32Array | undefined): void {
    if (factor) spread(factor, columns, this.buffers.columnFactor, PANEL_COLUMNS);
    else this.buffers.columnFactor.fill(0);
  }

  /** Sets the steps and contexts of a block's rows. */
  setRows(steps: Float32Array, contexts: ArrayLike<number>): void {
    this.buffers.rowSteps.set(steps);
    this.buffers.rowContexts.set(contexts);
  }

  /** Sets the steps and contexts of a panel's columns. */
  setColumns(steps: Float32Array, contexts: ArrayLike<number>): void {
    this.buffers.columnSteps.set(steps);
    this.buffers.columnContexts.set(contexts);
  }

  /**
   * Quantizes a panel. All arrays are [columns, rows].
   * @param fed what errors of the columns before the panel add to each weight.
   * @param pushed what errors of the rows above the block add to each term; used only with a factor of rows.
   */
  quantize(
    rows: number,
    columns: number,
    weights: Float32Array,
    fed: Float32Array | undefined,
    pushed: Float32Array | undefined,
  ): Panel {
    const { buffers } = this;
    spread(weights, rows, buffers.weights, STRIDE);
    if (fed) spread(fed, rows, buffers.fed, STRIDE);
    if (pushed) spread(pushed, rows, buffers.pushed, STRIDE);
    this.call.quantizePanel(rows, columns, fed !== undefined, pushed !== undefined, this.hasRowFactor);
    return buffers;
  }
}
