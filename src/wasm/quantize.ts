import { CONTEXTS, level, MAX_INDEX, ROWS_PER_BLOCK } from '../codecs/trellis/levels.js';
import { quantize } from './compiled.js';

/** Columns that are quantized by one call. */
export const PANEL_COLUMNS = 128;

const CHOICES = 2 * MAX_INDEX + 1;
const STRIDE = ROWS_PER_BLOCK;

interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly SCRATCH_BYTES: WebAssembly.Global;
  heapBase(): number;
  setScratch(scratch: number): void;
  // biome-ignore format: the order of the arguments, on one line
  quantizePanel(rows: number, columns: number, weights: number, fed: number, columnFactor: number, pushed: number, rowFactor: number, rowSteps: number, columnSteps: number, rowContexts: number, columnContexts: number, tables: number, target: number, outIndices: number, outErrors: number, outTerms: number): void;
}

/** Float32 buffers, in elements; `indices` has 16 bits each. */
const SIZES = {
  tables: CONTEXTS * 2 * CHOICES * 2,
  rowFactor: ROWS_PER_BLOCK * STRIDE,
  columnFactor: PANEL_COLUMNS * PANEL_COLUMNS,
  rowSteps: ROWS_PER_BLOCK,
  columnSteps: PANEL_COLUMNS,
  rowContexts: ROWS_PER_BLOCK,
  columnContexts: PANEL_COLUMNS,
  target: STRIDE,
  weights: PANEL_COLUMNS * STRIDE,
  fed: PANEL_COLUMNS * STRIDE,
  pushed: PANEL_COLUMNS * STRIDE,
  errors: PANEL_COLUMNS * STRIDE,
  terms: PANEL_COLUMNS * STRIDE,
  indices: (PANEL_COLUMNS * STRIDE) / 2,
} as const;
type Buffers = Readonly<Record<keyof typeof SIZES, number>>;

/**
 * A panel: at most ROWS_PER_BLOCK rows and PANEL_COLUMNS columns of a matrix. Its buffers are the kernel's memory, column
 * after column, each ROWS_PER_BLOCK long whatever the rows; they are valid until the next call.
 */
export interface Panel {
  readonly errors: Float32Array;
  readonly terms: Float32Array;
  readonly indices: Int16Array;
}

let compiled: WebAssembly.Module | undefined;

/** The quantizer's kernel and its memory: 5 MiB, one instance a thread. */
export class QuantizerKernel {
  private readonly call: Exports;
  private readonly at: Buffers;
  private readonly rowFactorOn: { now: boolean } = { now: false };

  constructor() {
    compiled ??= new WebAssembly.Module(Uint8Array.from(atob(quantize), (c) => c.charCodeAt(0)));
    this.call = new WebAssembly.Instance(compiled).exports as unknown as Exports;
    let end = (this.call.heapBase() + 15) & ~15;
    const at = {} as Record<keyof Buffers, number>;
    for (const [name, size] of Object.entries(SIZES) as [keyof Buffers, number][]) {
      at[name] = end;
      end += (size * 4 + 15) & ~15;
    }
    const scratch = end;
    end += this.call.SCRATCH_BYTES.value as number;
    this.call.memory.grow(Math.ceil((end - this.call.memory.buffer.byteLength) / 65536));
    this.call.setScratch(scratch);
    this.at = at;
  }

  /**
   * What choosing an index costs and what it stands for.
   * @param prices bits, as in codec/lossy/prices.ts. @param lambda squared steps a bit.
   */
  setChoices(prices: Float32Array, shrinks: Float32Array, lambda: number): void {
    const tables = this.floats('tables');
    for (let table = 0, at = 0; table < CONTEXTS * 2; table++)
      for (let k = -MAX_INDEX; k <= MAX_INDEX; k++, at++) {
        const shrunk = Math.abs(level(table & 1, k)) - shrinks[table * 4 + Math.min(3, Math.abs(k))]!;
        tables[at * 2] = lambda * prices[at]!;
        tables[at * 2 + 1] = Math.sign(k) * shrunk;
      }
  }

  /** The block's rows and their factor of G, [rows, rows], of which entries right of the diagonal count; none: rows do not interact. */
  setRows(steps: Float32Array, contexts: ArrayLike<number>, factor: Float32Array | undefined): void {
    this.floats('rowSteps').set(steps);
    this.integers('rowContexts').set(contexts);
    this.rowFactorOn.now = factor !== undefined;
    if (!factor) return;
    const rows = steps.length;
    const target = this.floats('rowFactor');
    for (let row = 0; row < rows; row++)
      target.set(factor.subarray(row * rows, (row + 1) * rows), row * STRIDE);
  }

  /** The panel's columns and their factor of H, [columns, columns], of which entries right of the diagonal count. */
  setColumns(steps: Float32Array, contexts: ArrayLike<number>, factor: Float32Array): void {
    const columns = steps.length;
    this.floats('columnSteps').set(steps);
    this.integers('columnContexts').set(contexts);
    const target = this.floats('columnFactor');
    for (let row = 0; row < columns; row++)
      target.set(factor.subarray(row * columns, (row + 1) * columns), row * PANEL_COLUMNS);
  }

  /**
   * Quantizes a panel. All are [columns, rows]: `weights`; `fed`, what errors left of the panel add to each weight;
   * `pushed`, what errors above the block add to each term (counts only with a factor of rows).
   */
  quantize(
    rows: number,
    columns: number,
    weights: Float32Array,
    fed: Float32Array | undefined,
    pushed: Float32Array | undefined,
  ): Panel {
    const { call, at } = this;
    this.put('weights', weights, rows, columns);
    if (fed) this.put('fed', fed, rows, columns);
    if (pushed) this.put('pushed', pushed, rows, columns);
    // biome-ignore format: as the kernel has them
    call.quantizePanel(rows, columns, at.weights, fed ? at.fed : 0, at.columnFactor, pushed ? at.pushed : 0, this.rowFactorOn.now ? at.rowFactor : 0,
      at.rowSteps, at.columnSteps, at.rowContexts, at.columnContexts, at.tables, at.target, at.indices, at.errors, at.terms);
    return {
      errors: this.floats('errors'),
      terms: this.floats('terms'),
      indices: new Int16Array(call.memory.buffer, at.indices, columns * STRIDE),
    };
  }

  private put(name: 'weights' | 'fed' | 'pushed', values: Float32Array, rows: number, columns: number): void {
    const target = this.floats(name);
    for (let column = 0; column < columns; column++)
      target.set(values.subarray(column * rows, (column + 1) * rows), column * STRIDE);
  }

  private floats(name: keyof Buffers): Float32Array {
    return new Float32Array(this.call.memory.buffer, this.at[name], SIZES[name]);
  }

  private integers(name: keyof Buffers): Int32Array {
    return new Int32Array(this.call.memory.buffer, this.at[name], SIZES[name]);
  }
}
