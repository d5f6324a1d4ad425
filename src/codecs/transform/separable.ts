import type { Basis } from './basis.js';
import { addScaled, multiply, transpose } from './products.js';

export interface Shape {
  readonly rows: number;
  readonly columns: number;
}

/** 1: blocks of consecutive weights in a row. 2: square tiles of the matrix, transformed on both sides. */
export type Dimensions = 1 | 2;

/**
 * Returns the coefficients of a matrix block by block, with edges padded with zeros: all real parts, then all imaginary ones of a complex
 * basis. For unitary A, a block x becomes A x and a tile X becomes A X A^T.
 */
export function forward(
  values: Float32Array,
  shape: Shape,
  basis: Basis,
  dimensions: Dimensions,
): Float64Array {
  const { size, real, imaginary } = basis;
  const blocks = gather(values, shape, size, dimensions);
  const count = blocks.length / size;
  const analysis = transpose(real, size, size);
  let re = multiply(blocks, analysis, count, size, size);
  let im = imaginary && multiply(blocks, transpose(imaginary, size, size), count, size, size);
  if (dimensions === 2) [re, im] = onTheLeft(re, im, { size, real, ...(imaginary && { imaginary }) });
  if (!im) return re;
  const numbers = new Float64Array(re.length + im.length);
  numbers.set(re);
  numbers.set(im, re.length);
  return numbers;
}

/** Returns the inverse of {@link forward}; for a complex basis the real part of A^H C conj(A). */
export function inverse(
  numbers: Float64Array,
  shape: Shape,
  basis: Basis,
  dimensions: Dimensions,
): Float32Array {
  const { size, real, imaginary } = basis;
  const half = imaginary ? numbers.length / 2 : numbers.length;
  let re = numbers.subarray(0, half);
  let im = imaginary && numbers.subarray(half);
  if (dimensions === 2) {
    const adjoint = {
      size,
      real: transpose(real, size, size),
      ...(imaginary && { imaginary: transpose(imaginary, size, size).map((value) => -value) }),
    };
    [re, im] = onTheLeft(re, im, adjoint);
  }
  const blocks = multiply(re, real, half / size, size, size);
  if (im) addScaled(blocks, multiply(im, imaginary!, half / size, size, size), 1);
  return scatter(blocks, shape, size, dimensions);
}

/** Returns the number of coefficients of {@link forward}. */
export function numberCount(shape: Shape, { size, imaginary }: Basis, dimensions: Dimensions): number {
  return paddedLength(shape, size, dimensions) * (imaginary ? 2 : 1);
}

/** Multiplies each tile of complex numbers by A from the left. */
function onTheLeft(re: Float64Array, im: Float64Array | undefined, { size, real, imaginary }: Basis) {
  const area = size * size;
  const outRe = new Float64Array(re.length);
  const outIm = im && new Float64Array(re.length);
  for (let start = 0; start < re.length; start += area) {
    const product = (a: Float64Array, b: Float64Array) =>
      multiply(a, b.subarray(start, start + area), size, size, size);
    const tile = product(real, re);
    if (im && outIm && imaginary) {
      addScaled(tile, product(imaginary, im), -1);
      outIm.set(addScaled(product(real, im), product(imaginary, re), 1), start);
    }
    outRe.set(tile, start);
  }
  return [outRe, outIm] as const;
}

function paddedLength({ rows, columns }: Shape, size: number, dimensions: Dimensions): number {
  const up = (n: number) => Math.ceil(n / size) * size;
  return dimensions === 1 ? up(rows * columns) : up(rows) * up(columns);
}

function gather(values: Float32Array, shape: Shape, size: number, dimensions: Dimensions): Float64Array {
  const blocks = new Float64Array(paddedLength(shape, size, dimensions));
  if (dimensions === 1) blocks.set(values);
  else
    eachTileRow(shape, size, (from, to, count) => {
      for (let i = 0; i < count; i++) blocks[to + i] = values[from + i]!;
    });
  return blocks;
}

function scatter(blocks: Float64Array, shape: Shape, size: number, dimensions: Dimensions): Float32Array {
  const length = shape.rows * shape.columns;
  if (dimensions === 1) return Float32Array.from(blocks.subarray(0, length));
  const values = new Float32Array(length);
  eachTileRow(shape, size, (to, from, count) => {
    for (let i = 0; i < count; i++) values[to + i] = blocks[from + i]!;
  });
  return values;
}

/** Visits the rows of all tiles with their offsets in the matrix and in the tiles, and their number of weights. */
function eachTileRow(
  { rows, columns }: Shape,
  size: number,
  visit: (inMatrix: number, inTiles: number, count: number) => void,
): void {
  const across = Math.ceil(columns / size);
  for (let row = 0; row < rows; row++)
    for (let tile = 0; tile < across; tile++) {
      const column = tile * size;
      const inTiles = ((Math.floor(row / size) * across + tile) * size + (row % size)) * size;
      visit(row * columns + column, inTiles, Math.min(size, columns - column));
    }
}
