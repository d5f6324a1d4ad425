import { ROWS_PER_BLOCK } from '../../codecs/trellis/levels.js';
import { fromFloat16, toFloat16 } from '../../core/float16.js';
import { transposed } from '../../core/transposed.js';
import { type GridCodes, type GridFormat, ownUnit } from '../../grids/format.js';
import { MAX_GROUP, PANEL_COLUMNS } from '../../wasm/constants.js';
import { GridKernel, type KernelFormat } from '../../wasm/grids.js';
import { cut } from './factor.js';
import { type FeedbackInput, feedErrors, type Panel, type PanelQuantizer } from './matrix.js';
import type { Products } from './products.js';

/** A matrix to quantize to grids: with the moments that its factors are of. */
export interface GridInput extends FeedbackInput {
  /** Cost of a squared error in each column, given that errors are fed on: the diagonal of the factorization of H, squared. */
  readonly columnCosts: Float32Array;
  /** H, damped, [columns, columns]; or its diagonal. */
  readonly columnMoments: Float32Array;
  /** G, damped, [rows, rows]; or its diagonal. */
  readonly rowMoments: Float32Array;
}

const CONTINUOUS = { low: -1e7, high: 1e7 };

/** Quantizes a matrix to a format's grids. */
export async function quantizeToGrids(
  kernel: GridKernel,
  products: Products,
  matrix: GridInput,
  format: GridFormat,
  options: { revisions?: number; log?: (text: string) => void } = {},
): Promise<GridCodes> {
  const grids = new Grids(kernel, matrix, format);
  grids.fit();
  grids.setUnits();
  await feedErrors(products, matrix, grids);
  options.log?.(`fed ${await grids.loss(products)}`);
  for (let i = 0; i < (options.revisions ?? 2); i++) {
    if (i) grids.refineUnits?.();
    await grids.revise(products);
    options.log?.(`revised ${await grids.loss(products)}`);
  }
  return grids.result();
}

/** The grids and codes of a matrix while they are chosen. */
class Grids implements PanelQuantizer {
  private readonly groups: number;
  private readonly blocks: number;
  private readonly codes: Uint8Array;
  private readonly scales: Float32Array;
  private readonly minimums: Float32Array;
  private scaleUnits: Float32Array;
  private minimumUnits: Float32Array;
  /** [columns, rows] */
  private readonly errors: Float32Array;

  constructor(
    private readonly kernel: GridKernel,
    private readonly matrix: GridInput,
    private readonly format: GridFormat,
  ) {
    const { rows, columns } = matrix;
    this.groups = Math.ceil(columns / format.group);
    this.blocks = Math.ceil(columns / format.block);
    this.codes = new Uint8Array(rows * columns);
    this.scales = new Float32Array(rows * this.groups);
    this.minimums = new Float32Array(rows * this.groups);
    this.scaleUnits = new Float32Array(rows * this.unitsPerRow).fill(1e-6);
    this.minimumUnits = new Float32Array(rows * this.unitsPerRow).fill(1e-6);
    this.errors = new Float32Array(rows * columns);
  }

  private get unitsPerRow(): number {
    return this.format.scales === 'float16' ? this.groups : this.blocks;
  }

  /** Finds scales and minimums of any value, without feedback: what units should cover. */
  fit(): void {
    const { matrix, kernel } = this;
    const { columns, rows } = matrix;
    kernel.setFormat(kernelFormat(this.format, true));
    const none = new Float32Array(PANEL_COLUMNS * PANEL_COLUMNS);
    for (let top = 0; top < rows; top += ROWS_PER_BLOCK) {
      const bottom = Math.min(rows, top + ROWS_PER_BLOCK);
      this.setRows(top, bottom, undefined);
      const weights = transposed(
        matrix.weights.subarray(top * columns, bottom * columns),
        bottom - top,
        columns,
      );
      for (let start = 0; start < columns; start += PANEL_COLUMNS) {
        const end = Math.min(columns, start + PANEL_COLUMNS);
        const own = weights.subarray(start * (bottom - top), end * (bottom - top));
        const input = { weights: own, fed: undefined, pushed: undefined };
        this.quantize(
          { top, bottom, start, end },
          none.subarray(0, (end - start) ** 2),
          input,
        );
      }
    }
  }

  /** Sets the units that cover the scales and minimums that were found. */
  setUnits(): void {
    const { format, scales, minimums, groups, matrix } = this;
    const isOwn = format.scales === 'float16';
    const perUnit = isOwn ? 1 : format.block / format.group;
    const unitOf = (values: Float32Array, range: unknown, row: number, unit: number) => {
      let largest = 0;
      for (let group = unit * perUnit; group < Math.min(groups, (unit + 1) * perUnit); group++) {
        const value = values[row * groups + group]! * 1e-6;
        if (Math.abs(value) > Math.abs(largest)) largest = value;
      }
      if (range === 'float16') return ownUnit(largest);
      const { low, high } = range as { low: number; high: number };
      return float16(largest / (low < 0 ? low : high)) || 2 ** -24;
    };
    const hasUnits = format.minimums === 'float16' || (format.minimums && 'low' in format.minimums);
    const scaleUnits = new Float32Array(this.scaleUnits.length);
    const minimumUnits = new Float32Array(this.minimumUnits.length).fill(1);
    for (let row = 0, i = 0; row < matrix.rows; row++)
      for (let unit = 0; unit < this.unitsPerRow; unit++, i++) {
        scaleUnits[i] = unitOf(scales, format.scales, row, unit);
        if (hasUnits) minimumUnits[i] = unitOf(minimums, format.minimums, row, unit);
      }
    this.scaleUnits = scaleUnits;
    this.minimumUnits = minimumUnits;
    this.kernel.setFormat(kernelFormat(format, false));
  }

  setRows(top: number, bottom: number, factor: Float32Array | undefined): void {
    this.kernel.setRowFactor(bottom - top, factor);
  }

  quantize(
    panel: Panel,
    factor: Float32Array,
    { weights, fed, pushed }: Parameters<PanelQuantizer['quantize']>[2],
  ) {
    const { kernel } = this;
    const { top, bottom, start, end } = panel;
    this.loadUnits(panel);
    kernel.buffers.columnCosts.set(this.matrix.columnCosts.subarray(start, end));
    kernel.setColumnFactor(end - start, factor);
    const found = kernel.quantize(bottom - top, end - start, weights, fed, pushed);
    this.store(panel);
    return found;
  }

  /** Chooses again each group, with all others as they are. */
  async revise(products: Products): Promise<void> {
    const { matrix, kernel, format } = this;
    const { rows, columns, columnMoments, rowMoments } = matrix;
    const hasRows = rowMoments.length > rows;
    const { buffers } = kernel;
    for (let start = 0; start < columns; start += PANEL_COLUMNS) {
      const end = Math.min(columns, start + PANEL_COLUMNS);
      const width = end - start;
      // R = E H: [columns of the panel, rows]
      const across = new Float32Array(columns * width);
      for (let row = 0; row < columns; row++)
        across.set(columnMoments.subarray(row * columns + start, row * columns + end), row * width);
      const sums = await products.transposedTimes(across, this.errors, columns, width, rows);
      const corner = cut(columnMoments, columns, start, end, start, end);
      this.loadSquares(corner, width);
      for (let top = 0; top < rows; top += ROWS_PER_BLOCK) {
        const bottom = Math.min(rows, top + ROWS_PER_BLOCK);
        const height = bottom - top;
        const panel = { top, bottom, start, end };
        let gradient: Float32Array; // [width, height]
        if (hasRows) {
          const share = cut(rowMoments, rows, 0, rows, top, bottom);
          gradient = await products.times(sums, share, width, rows, height);
          const own = cut(rowMoments, rows, top, bottom, top, bottom);
          for (let row = 0; row < height; row++)
            buffers.rowFactor.set(own.subarray(row * height, (row + 1) * height), row * ROWS_PER_BLOCK);
        } else {
          gradient = new Float32Array(width * height);
          for (let column = 0; column < width; column++)
            for (let row = 0; row < height; row++)
              gradient[column * height + row] = sums[column * rows + top + row]! * rowMoments[top + row]!;
          buffers.rowFactor.set(rowMoments.subarray(top, bottom));
        }
        this.loadUnits(panel);
        const before = new Float32Array(width * height);
        for (let column = 0; column < width; column++) {
          const at = column * ROWS_PER_BLOCK;
          buffers.pushed.set(gradient.subarray(column * height, (column + 1) * height), at);
          const errors = this.errors.subarray(
            (start + column) * rows + top,
            (start + column) * rows + bottom,
          );
          before.set(errors, column * height);
          buffers.errors.set(errors, at);
          for (let row = 0; row < height; row++) {
            buffers.weights[at + row] = matrix.weights[(top + row) * columns + start + column]!;
            buffers.codes[at + row] = this.codes[(top + row) * columns + start + column]!;
          }
        }
        this.loadGrids(panel);
        kernel.revise(height, width, hasRows);
        this.store(panel);
        if (hasRows && bottom < rows) {
          const change = new Float32Array(width * height);
          for (let column = 0; column < width; column++)
            for (let row = 0; row < height; row++)
              change[column * height + row] =
                this.errors[(start + column) * rows + top + row]! - before[column * height + row]!;
          const added = await products.times(corner, change, width, width, height);
          for (let column = 0; column < width; column++)
            for (let row = 0; row < height; row++)
              sums[column * rows + top + row]! += added[column * height + row]!;
        }
      }
    }
    void format;
  }

  /** Loads the moments of a panel, and of each group the factor and the inverse of its square. */
  private loadSquares(corner: Float32Array, width: number): void {
    const { kernel, format } = this;
    const { buffers } = kernel;
    for (let row = 0; row < width; row++)
      buffers.columnMoments.set(corner.subarray(row * width, (row + 1) * width), row * PANEL_COLUMNS);
    for (let first = 0; first < width; first += format.group) {
      const n = Math.min(format.group, width - first);
      const square = Float64Array.from(cut(corner, width, first, first + n, first, first + n));
      const { upper, diagonal, inverse } = decompose(square, n);
      for (let row = 0; row < n; row++)
        for (let column = 0; column < n; column++) {
          const at = (first + row) * MAX_GROUP + column;
          buffers.columnFactor[at] = column > row ? upper[row * n + column]! : 0;
          buffers.inverses[at] = inverse[row * n + column]!;
        }
      for (let i = 0; i < n; i++) buffers.columnCosts[first + i] = diagonal[i]!;
    }
  }

  private loadUnits({ top, bottom, start, end }: Panel): void {
    const { kernel, format } = this;
    const { buffers } = kernel;
    const perUnit = format.scales === 'float16' ? format.group : format.block;
    const units = this.unitsPerRow;
    for (let column = start, group = 0; column < end; column += format.group, group++) {
      const unit = Math.floor(column / perUnit);
      for (let row = top, to = group * ROWS_PER_BLOCK; row < bottom; row++, to++) {
        buffers.scaleUnits[to] = this.scaleUnits[row * units + unit]!;
        buffers.minimumUnits[to] = this.minimumUnits[row * units + unit]!;
      }
    }
  }

  private loadGrids({ top, bottom, start, end }: Panel): void {
    const { buffers } = this.kernel;
    for (let column = start, group = 0; column < end; column += this.format.group, group++)
      for (let row = top, to = group * ROWS_PER_BLOCK; row < bottom; row++, to++) {
        const at = row * this.groups + column / this.format.group;
        buffers.scales[to] = this.scales[at]!;
        buffers.minimums[to] = this.minimums[at]!;
      }
  }

  /** Keeps what the kernel chose. */
  private store({ top, bottom, start, end }: Panel): void {
    const { buffers } = this.kernel;
    const { columns, rows } = this.matrix;
    for (let column = start; column < end; column++) {
      const from = (column - start) * ROWS_PER_BLOCK;
      this.errors.set(buffers.errors.subarray(from, from + bottom - top), column * rows + top);
      for (let row = top; row < bottom; row++)
        this.codes[row * columns + column] = buffers.codes[from + row - top]!;
    }
    for (let column = start, group = 0; column < end; column += this.format.group, group++)
      for (let row = top, from = group * ROWS_PER_BLOCK; row < bottom; row++, from++) {
        const at = row * this.groups + column / this.format.group;
        this.scales[at] = buffers.scales[from]!;
        this.minimums[at] = buffers.minimums[from]!;
      }
  }

  refineUnits?: () => void;

  /** <E, G E H> */
  async loss(products: Products): Promise<number> {
    const { rows, columns, columnMoments, rowMoments } = this.matrix;
    const eh = await products.transposedTimes(columnMoments, this.errors, columns, columns, rows);
    let sum = 0;
    if (rowMoments.length > rows) {
      const g = await products.times(eh, rowMoments, columns, rows, rows);
      for (let i = 0; i < g.length; i++) sum += g[i]! * this.errors[i]!;
    } else
      for (let i = 0; i < eh.length; i++) sum += eh[i]! * this.errors[i]! * rowMoments[i % rows]!;
    return sum;
  }

  result(): GridCodes {
    const { matrix, codes, scales, minimums, scaleUnits, minimumUnits } = this;
    return {
      rows: matrix.rows,
      columns: matrix.columns,
      codes,
      scales: Int16Array.from(scales),
      minimums: Int16Array.from(minimums),
      scaleUnits,
      minimumUnits,
    };
  }
}

const float16 = (value: number) => fromFloat16(toFloat16(value));

function kernelFormat({ group, levels, scales, minimums }: GridFormat, isContinuous: boolean): KernelFormat {
  const many = levels.length > 16;
  const shares = levels.length > 32 ? [1, 0.98, 0.95, 0.9] : many ? [1, 0.95, 0.9, 0.8] : levels.length > 8 ? [1, 0.92, 0.84, 0.75] : [1, 0.87, 0.74, 0.6];
  const minimumKind = !minimums ? 'none' : typeof minimums === 'object' && 'zeroPoints' in minimums ? 'steps' : 'units';
  const own = { low: -2047, high: 2047 };
  const scaleRange = isContinuous ? CONTINUOUS : scales === 'float16' ? own : scales;
  const minimumRange = minimumKind === 'steps' ? (minimums as { zeroPoints: { low: number; high: number } }).zeroPoints : isContinuous ? { low: minimums !== 'float16' ? 0 : -1e7, high: 1e7 } : minimums === 'float16' ? own : minimums ? (minimums as { low: number; high: number }) : { low: 0, high: 0 };
  const positive = minimumKind !== 'none';
  return {
    group,
    levels,
    minimumKind,
    scaleRange: [positive ? Math.max(0, scaleRange.low) : scaleRange.low, scaleRange.high],
    minimumRange: [minimumRange.low, minimumRange.high],
    scaleStep: isContinuous ? 1 : scales === 'float16' ? 8 : 1,
    shares: shares as unknown as KernelFormat['shares'],
  };
}

/** A = M diag(d) M^T with M unit upper triangular, and the inverse of A. */
function decompose(square: Float64Array, n: number) {
  const upper = new Float64Array(n * n);
  const diagonal = new Float64Array(n);
  for (let column = n - 1; column >= 0; column--) {
    for (let row = column; row >= 0; row--) {
      let sum = square[row * n + column]!;
      for (let k = column + 1; k < n; k++) sum -= upper[row * n + k]! * upper[column * n + k]! * diagonal[k]!;
      if (row === column) {
        diagonal[column] = sum;
        upper[row * n + column] = 1;
      } else upper[row * n + column] = sum / diagonal[column]!;
    }
  }
  // inverse of M, unit upper triangular
  const inverseM = new Float64Array(n * n);
  for (let column = 0; column < n; column++)
    for (let row = column; row >= 0; row--) {
      let sum = row === column ? 1 : 0;
      for (let k = row + 1; k <= column; k++) sum -= upper[row * n + k]! * inverseM[k * n + column]!;
      inverseM[row * n + column] = sum;
    }
  // A^-1 = M^-T D^-1 M^-1
  const inverse = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += (inverseM[k * n + i]! * inverseM[k * n + j]!) / diagonal[k]!;
      inverse[i * n + j] = sum;
    }
  return { upper, diagonal, inverse };
}
