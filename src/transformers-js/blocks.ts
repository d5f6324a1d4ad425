import { fromFloat16, toFloat16 } from '../core/float16.js';
import { type Codes, ONNX_GRIDS } from '../grids/onnx.js';
import { type Bits, BLOCK } from './encoding.js';

/** The grid of a block: scales are rounded to float16 already. */
export interface Grids {
  /** [rows, blocks] */
  readonly scales: Float32Array;
  /** [rows, blocks] */
  readonly zeros: Uint8Array;
}

/** The range of a block is tried at these shares: a smaller one cuts off the largest weights and is finer for all others. */
const SHARES = [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7];
/** 8-bit codes are so fine that cutting off never pays. */
const WHOLE = [1];

/**
 * Chooses the grid of each block with the least squared error.
 * @param values [rows, columns]. @param importance of errors of each column; by default all count the same.
 */
export function chooseGrids(
  values: Float32Array,
  rows: number,
  columns: number,
  bits: Bits,
  importance?: Float32Array,
): Grids {
  const blocks = Math.ceil(columns / BLOCK);
  const scales = new Float32Array(rows * blocks);
  const zeros = new Uint8Array(rows * blocks);
  const shares = bits === 4 ? SHARES : WHOLE;
  for (let row = 0, at = 0; row < rows; row++)
    for (let block = 0; block < blocks; block++, at++) {
      const start = row * columns + block * BLOCK;
      const end = Math.min(start + BLOCK, (row + 1) * columns);
      const [low, high] = rangeOf(values, start, end);
      let least = Number.POSITIVE_INFINITY;
      for (const share of shares) {
        const [scale, zero] = gridOf(low * share, high * share, bits);
        const error =
          shares.length > 1 ? errorOf(values, start, end, scale, zero, importance, block * BLOCK) : 0;
        if (error >= least) continue;
        least = error;
        scales[at] = scale;
        zeros[at] = zero;
      }
    }
  return { scales, zeros };
}

/** Returns the least and the largest value of a block, on both sides of 0. */
function rangeOf(values: Float32Array, start: number, end: number): [number, number] {
  let low = 0;
  let high = 0;
  for (let i = start; i < end; i++) {
    const value = values[i]!;
    if (value < low) low = value;
    else if (value > high) high = value;
  }
  return [low, high];
}

/** Returns scale and zero point: of 4 bits for the range, of 8 bits for what is around 0. */
function gridOf(low: number, high: number, bits: Bits): [number, number] {
  if (bits === 8) return [scaleOf(Math.max(-low, high) / 127), 128];
  const scale = scaleOf((high - low) / 15);
  return [scale, Math.min(15, Math.max(0, Math.round(-low / scale)))];
}

/** Smallest scale: a float16 other than 0, so that nothing is divided by 0. */
const MIN_SCALE = 2 ** -24;

const scaleOf = (value: number) => fromFloat16(toFloat16(Math.max(value, MIN_SCALE)));

function errorOf(
  values: Float32Array,
  start: number,
  end: number,
  scale: number,
  zero: number,
  importance: Float32Array | undefined,
  column: number,
): number {
  let sum = 0;
  const perScale = 1 / scale;
  for (let i = start; i < end; i++) {
    const value = values[i]!;
    const code = Math.min(15, Math.max(0, Math.round(value * perScale) + zero));
    const error = (code - zero) * scale - value;
    sum += error * error * (importance ? importance[column + i - start]! : 1);
  }
  return sum;
}

/** Rounds a matrix [rows, columns] to the nearest codes. */
export function roundToCodes(values: Float32Array, rows: number, columns: number, bits: Bits): Codes {
  const grids = chooseGrids(values, rows, columns, bits);
  const blocks = Math.ceil(columns / BLOCK);
  const indices = new Uint8Array(values.length);
  const most = 2 ** bits - 1;
  for (let row = 0, i = 0; row < rows; row++)
    for (let column = 0; column < columns; column++, i++) {
      const at = row * blocks + Math.floor(column / BLOCK);
      const code = Math.round(values[i]! / grids.scales[at]!) + grids.zeros[at]!;
      indices[i] = Math.min(most, Math.max(0, code));
    }
  return packCodes(indices, grids, rows, columns, bits);
}

/** Packs codes [rows, columns] and their grids as ONNX Runtime's operators take them. Codes behind the last column are the zero point. */
export function packCodes(
  indices: Uint8Array,
  { scales, zeros }: Grids,
  rows: number,
  columns: number,
  bits: Bits,
): Codes {
  return ONNX_GRIDS[bits].pack({
    rows,
    columns,
    codes: indices,
    scales: new Int16Array(scales.length).fill(1),
    scaleUnits: scales,
    minimums: Int16Array.from(zeros),
    minimumUnits: new Float32Array(0),
  });
}
