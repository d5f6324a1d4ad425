import type { Grids } from '../../transformers-js/blocks.js';
import { type Bits, BLOCK } from '../../transformers-js/encoding.js';
import type { QuantizerKernel } from '../../wasm/quantize.js';
import type { Levels } from './matrix.js';

/** Returns what sets the grids of a matrix in the kernel. @param columns of the matrix. */
export function gridLevels(
  kernel: QuantizerKernel,
  { scales, zeros }: Grids,
  columns: number,
  bits: Bits,
): Levels {
  const blocks = Math.ceil(columns / BLOCK);
  let [top, bottom] = [0, 0];
  return {
    setRows: (first, end) => {
      [top, bottom] = [first, end];
    },
    setColumns: (start, end) => {
      const [first, last] = [start / BLOCK, Math.ceil(end / BLOCK)];
      const height = bottom - top;
      const take = (values: ArrayLike<number>) =>
        Float32Array.from({ length: (last - first) * height }, (_, i) => {
          const [block, row] = [first + Math.floor(i / height), top + (i % height)];
          return values[row * blocks + block]!;
        });
      kernel.setGrids(height, take(scales), take(zeros), 2 ** bits - 1);
    },
  };
}
