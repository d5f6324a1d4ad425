import { InputError } from '../core/errors.js';
import { fromFloat16, toFloat16 } from '../core/float16.js';
import { PANEL_COLUMNS, ROWS_PER_BLOCK } from '../wasm/constants.js';
import type { GridKernel, KernelPanel } from '../wasm/grids.js';
import { type GridCodes, type GridFormat, ownUnit, type Range } from './format.js';
import { FINE_UNITS, kernelFormat, minimumRangeOf } from './kernel-format.js';

/** Rows `top` to `bottom` and columns `start` to `end` (exclusive) of a matrix; `start` is a multiple of PANEL_COLUMNS. */
export interface PanelPlace {
  readonly top: number;
  readonly bottom: number;
  readonly start: number;
  readonly end: number;
}

/** A matrix to store in a format. */
export interface GridMatrix {
  /** For errors. */
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** [rows, columns], finite. */
  readonly weights: Float32Array;
  /** Cost of a squared error in each column. */
  readonly columnCosts: Float32Array;
}

/**
 * Units are this much larger than the largest scale of a block needs, because fed errors widen the range of what is rounded. Measured on
 * gpt-neo-small in Q2_K: 1.5 % less loss; anything from 1.04 to 1.15 does.
 */
const HEADROOM = 1.08;

/** The grids and codes of a matrix while they are chosen, panel by panel. */
export class ChosenGrids {
  /** Error of each value, [columns, rows]. */
  readonly errors: Float32Array;
  private readonly groups: number;
  /** Columns that share a unit, and their number. */
  private readonly unitColumns: number;
  private readonly units: number;
  private readonly codes: Uint8Array;
  private readonly scales: Float32Array;
  private readonly minimums: Float32Array;
  private readonly scaleUnits: Float32Array;
  private readonly minimumUnits: Float32Array;

  /**
   * Finds the range of scales in each block without fed errors, and so the units. Then panels can be chosen.
   * @throws {InputError} for weights that a float16 scale cannot reach.
   */
  constructor(
    private readonly kernel: GridKernel,
    private readonly matrix: GridMatrix,
    private readonly format: GridFormat,
  ) {
    const { rows, columns, weights } = matrix;
    this.groups = Math.ceil(columns / format.group);
    this.unitColumns = format.scales === 'float16' ? format.group : format.block;
    this.units = Math.ceil(columns / this.unitColumns);
    this.errors = new Float32Array(weights.length);
    this.codes = new Uint8Array(weights.length);
    this.scales = new Float32Array(rows * this.groups);
    this.minimums = new Float32Array(rows * this.groups);
    this.scaleUnits = new Float32Array(rows * this.units);
    this.minimumUnits = new Float32Array(rows * this.units);
    this.fitUnits();
  }

  /** Returns blocks of rows. */
  *blocks(): Iterable<{ readonly top: number; readonly bottom: number }> {
    const { rows } = this.matrix;
    for (let top = 0; top < rows; top += ROWS_PER_BLOCK)
      yield { top, bottom: Math.min(rows, top + ROWS_PER_BLOCK) };
  }

  /** Chooses each group by itself, with no errors fed on. */
  chooseAlone(): void {
    const { columns } = this.matrix;
    for (const { top, bottom } of this.blocks()) {
      this.kernel.setRows(bottom - top, undefined); // the kernel may still have those of another matrix
      for (let start = 0; start < columns; start += PANEL_COLUMNS)
        this.choose({ top, bottom, start, end: Math.min(columns, start + PANEL_COLUMNS) }, undefined, {});
    }
  }

  /**
   * Chooses a panel. @param factor of H of its columns, [columns, columns]; undefined if they do not interact.
   * @param given what errors elsewhere add, each [columns, rows] of the panel. @returns the kernel's errors and terms.
   */
  choose(
    place: PanelPlace,
    factor: Float32Array | undefined,
    given: { readonly fed?: Float32Array | undefined; readonly pushed?: Float32Array | undefined },
  ): KernelPanel {
    const { kernel, matrix } = this;
    this.load(place);
    kernel.setColumns(matrix.columnCosts.subarray(place.start, place.end), factor);
    const panel = kernel.choose(place.bottom - place.top, place.end - place.start, given);
    this.keep(place);
    return panel;
  }

  /** Chooses a panel again, whose gradient, moments and groups the kernel knows. */
  revise(place: PanelPlace): void {
    const { top, bottom, start, end } = place;
    const { buffers } = this.kernel;
    this.load(place);
    for (let column = start, to = 0; column < end; column++, to += ROWS_PER_BLOCK) {
      buffers.errors.set(this.errorsOf(place, column), to);
      for (let row = top; row < bottom; row++)
        buffers.codes[to + row - top] = this.codes[row * this.matrix.columns + column]!;
    }
    this.kernel.revise(bottom - top, end - start);
    this.keep(place);
  }

  /** Returns the errors of a panel, [columns, rows]; a copy. */
  panelErrors(place: PanelPlace): Float32Array {
    const height = place.bottom - place.top;
    const errors = new Float32Array((place.end - place.start) * height);
    for (let column = place.start; column < place.end; column++)
      errors.set(this.errorsOf(place, column), (column - place.start) * height);
    return errors;
  }

  result(): GridCodes {
    const { rows, columns } = this.matrix;
    return {
      rows,
      columns,
      codes: this.codes,
      scales: Int16Array.from(this.scales),
      minimums: Int16Array.from(this.minimums),
      scaleUnits: this.scaleUnits,
      minimumUnits: minimumRangeOf(this.format) ? this.minimumUnits : new Float32Array(0),
    };
  }

  private errorsOf({ top, bottom }: PanelPlace, column: number): Float32Array {
    const { rows } = this.matrix;
    return this.errors.subarray(column * rows + top, column * rows + bottom);
  }

  private fitUnits(): void {
    const { kernel, format, matrix, units } = this;
    kernel.setFormat(kernelFormat(format, true));
    const reach = MOST_FLOAT16 * Math.max(...format.levels.map(Math.abs));
    for (let row = 0, at = 0; row < matrix.rows; row++)
      for (let unit = 0; unit < units; unit++, at++) {
        const largest = this.largestOf(row, unit);
        if (!(largest <= reach)) throw this.tooLarge(row); // squares of larger ones may be infinite
        this.scaleUnits[at] = this.minimumUnits[at] = Math.fround(largest / FINE_UNITS) || 1;
      }
    this.chooseAlone();
    const minimums = minimumRangeOf(format);
    for (let row = 0, at = 0; row < matrix.rows; row++)
      for (let unit = 0; unit < units; unit++, at++) {
        this.scaleUnits[at] = this.unitFor(this.scales, format.scales, row, unit, this.scaleUnits[at]!);
        if (minimums)
          this.minimumUnits[at] = this.unitFor(this.minimums, minimums, row, unit, this.minimumUnits[at]!);
      }
    kernel.setFormat(kernelFormat(format, false));
  }

  /** Returns the largest magnitude of the weights that share a unit. */
  private largestOf(row: number, unit: number): number {
    const { columns, weights } = this.matrix;
    const [start, end] = [unit * this.unitColumns, Math.min(columns, (unit + 1) * this.unitColumns)];
    let largest = 0;
    for (let i = row * columns + start; i < row * columns + end; i++)
      largest = Math.max(largest, Math.abs(weights[i]!));
    return largest;
  }

  /** Returns the unit in which codes of a range cover the numbers of a block, which are in units of `fine`. */
  private unitFor(
    numbers: Float32Array,
    range: Range | 'float16',
    row: number,
    unit: number,
    fine: number,
  ): number {
    const perUnit = this.unitColumns / this.format.group;
    const end = Math.min(this.groups, (unit + 1) * perUnit);
    let largest = 0;
    for (let group = unit * perUnit; group < end; group++) {
      const number = numbers[row * this.groups + group]!;
      if (Math.abs(number) > Math.abs(largest)) largest = number;
    }
    const value = largest * fine;
    const found =
      range === 'float16'
        ? ownUnit(value)
        : float16((HEADROOM * value) / (range.low < 0 ? range.low : range.high));
    const isReached = Math.abs(value) <= MOST_FLOAT16 && Number.isFinite(found);
    if (isReached) return found || LEAST_FLOAT16;
    throw this.tooLarge(row);
  }

  private tooLarge(row: number): InputError {
    const message = `row ${row}: weights are too large for ${this.format.name}, whose scales are float16`;
    return new InputError(message, { tensor: this.matrix.name });
  }

  /** Sets the kernel's weights, units, scales and minimums of a panel. */
  private load({ top, bottom, start, end }: PanelPlace): void {
    const { matrix, format, units } = this;
    const { weights, scaleUnits, minimumUnits, scales, minimums } = this.kernel.buffers;
    for (let row = top; row < bottom; row++)
      for (let column = start, to = row - top; column < end; column++, to += ROWS_PER_BLOCK)
        weights[to] = matrix.weights[row * matrix.columns + column]!;
    for (let column = start, group = 0; column < end; column += format.group, group++) {
      const unit = Math.floor(column / this.unitColumns);
      for (let row = top, to = group * ROWS_PER_BLOCK; row < bottom; row++, to++) {
        scaleUnits[to] = this.scaleUnits[row * units + unit]!;
        minimumUnits[to] = this.minimumUnits[row * units + unit]!;
        const at = row * this.groups + column / format.group;
        scales[to] = this.scales[at]!;
        minimums[to] = this.minimums[at]!;
      }
    }
  }

  /** Keeps what the kernel chose in a panel. */
  private keep({ top, bottom, start, end }: PanelPlace): void {
    const { errors, codes, scales, minimums } = this.kernel.buffers;
    const { columns, rows } = this.matrix;
    for (let column = start, from = 0; column < end; column++, from += ROWS_PER_BLOCK) {
      this.errors.set(errors.subarray(from, from + bottom - top), column * rows + top);
      for (let row = top; row < bottom; row++) this.codes[row * columns + column] = codes[from + row - top]!;
    }
    for (let column = start, group = 0; column < end; column += this.format.group, group++)
      for (let row = top, from = group * ROWS_PER_BLOCK; row < bottom; row++, from++) {
        const at = row * this.groups + column / this.format.group;
        this.scales[at] = scales[from]!;
        this.minimums[at] = minimums[from]!;
      }
  }
}

const MOST_FLOAT16 = 65504;
const LEAST_FLOAT16 = 2 ** -24;
const float16 = (value: number) => fromFloat16(toFloat16(value));
