import { elementCount } from '../../core/dtype.js';
import { quote } from '../../core/json.js';
import type { TensorInfo } from '../../core/model.js';
import type { Parts } from './parts.js';

/** Scales over a matrix [..., rows, columns]: one for all, one per row, or one per block. */
export interface ScaleGrid {
  /** Columns that share a scale. */
  readonly blockColumns: number;
  /** Returns the index of a row of scales in what {@link ScaleGrid.read} returned for rows from `first` on. */
  rowOf(row: number, first: number): number;
  /** Scales per row of blocks. */
  readonly perRow: number;
  /** Reads the scales of rows `first` to `last` (exclusive). */
  read(first: number, last: number, signal?: AbortSignal): Promise<Float32Array>;
}

/**
 * Fits a tensor of scales, or zero points, over a matrix.
 * @param shape of the matrix. @param block rows and columns of a block, where there are blocks.
 * @throws {InputError} when it does not fit.
 */
export function scaleGrid(
  parts: Parts,
  scale: TensorInfo,
  shape: readonly number[],
  block: readonly [number, number],
): ScaleGrid {
  const [rows, columns] = shape.slice(-2) as [number, number];
  const [down, across] = dimensionsOf(scale, shape);
  const blockRows = blockOf(down, rows, block[0]);
  const blockColumns = blockOf(across, columns, block[1]);
  if (blockRows === undefined || blockColumns === undefined)
    parts.refuse(
      scale,
      `scales of shape ${quote(scale.shape)} do not fit weights of ${quote(shape)} in blocks of ${quote(block)}`,
    );
  const isSingle = elementCount(scale.shape) === 1;
  const indexOf = (row: number) =>
    isSingle ? 0 : Math.floor(row / rows) * down! + Math.floor((row % rows) / blockRows);
  return {
    blockColumns,
    perRow: across!,
    rowOf: (row, first) => indexOf(row) - indexOf(first),
    read: (first, last, signal) =>
      parts.numbers(scale, indexOf(first) * across!, (indexOf(last - 1) + 1) * across!, signal),
  };
}

/** Returns rows and columns of scales; undefined where they are over another number of matrices. */
function dimensionsOf({ shape: own }: TensorInfo, shape: readonly number[]) {
  if (elementCount(own) === 1) return [1, 1] as const;
  const [down, across = 1] = own.slice(shape.length - 2);
  const matches = own.slice(0, -2).every((size, i) => size === shape[i]);
  const isGrid = own.length === shape.length && matches;
  const isPerRow = own.length === 1 && shape.length === 2;
  return isGrid || isPerRow ? ([isPerRow ? own[0] : down, across] as const) : [undefined, undefined];
}

/** Returns how many of `size` share one of `count` scales; undefined where they do not fit. */
function blockOf(count: number | undefined, size: number, block: number): number | undefined {
  if (count === 1) return Math.max(1, size);
  if (count === size) return 1;
  return block > 0 && count === Math.ceil(size / block) ? block : undefined;
}
