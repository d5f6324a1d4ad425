import { fixedBasis } from './bases.js';
import { karhunenBasis } from './karhunen.js';
import { type Dimensions, inverse, numberCount, type Shape } from './separable.js';
import { singularProduct } from './singular.js';

/** All transforms; their indices are their numbers in a payload. */
export const TRANSFORMS = ['none', 'rft', 'dft', 'dct', 'hadamard', 'haar', 'klt', 'svd'] as const;
/** A transform: `none`, fixed bases, and those that are computed for each matrix (`klt`, `svd`). */
export type TransformName = (typeof TRANSFORMS)[number];

export interface TransformOptions {
  readonly transform: TransformName;
  /** Block size: a power of two from 4 to 256. */
  readonly size: number;
  readonly dimensions: Dimensions;
}

/** A transformed matrix: the numbers to encode, and the table that the inverse needs. */
export interface Coefficients {
  readonly numbers: Float64Array;
  /** The basis of a Karhunen-Loeve transform; empty otherwise. */
  readonly table: Int16Array;
}

/** Reconstructs a matrix, the inverse of `analyze` (analysis.ts). */
export function synthesize(
  { numbers, table }: Coefficients,
  shape: Shape,
  options: TransformOptions,
): Float32Array {
  const { transform, size, dimensions } = options;
  if (transform === 'svd') return singularProduct(numbers, shape);
  const basis = transform === 'klt' ? karhunenBasis(table, size) : fixedBasis(transform, size);
  return inverse(numbers, shape, basis, dimensions);
}

/** Returns the number of coefficients of a matrix and of entries in its table. */
export function coefficientCounts(shape: Shape, { transform, size, dimensions }: TransformOptions) {
  if (transform === 'svd')
    return { numbers: Math.min(shape.rows, shape.columns) * (shape.rows + shape.columns), table: 0 };
  const basis = fixedBasis(transform === 'klt' ? 'none' : transform, size);
  return { numbers: numberCount(shape, basis, dimensions), table: transform === 'klt' ? size * size : 0 };
}
