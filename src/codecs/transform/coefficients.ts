import { FIXED, fixedBasis } from './bases.js';
import { karhunenBasis, karhunenTable } from './karhunen.js';
import { type Dimensions, forward, inverse, numberCount, type Shape } from './separable.js';
import { singularFactors, singularProduct } from './singular.js';

/** All transforms, in the order of their numbers in a payload. */
export const TRANSFORMS = ['none', 'rft', 'dft', 'dct', 'hadamard', 'haar', 'klt', 'svd'] as const;
/** A transform: `none`, fixed bases, and those that are computed for each matrix (`klt`, `svd`). */
export type TransformName = (typeof TRANSFORMS)[number];

export interface TransformOptions {
  readonly transform: TransformName;
  /** Of blocks: a power of two from 4 to 256. */
  readonly size: number;
  readonly dimensions: Dimensions;
}

/** A matrix transformed: numbers to code, and what else its inverse needs. */
export interface Coefficients {
  readonly numbers: Float64Array;
  /** The basis of a Karhunen-Loeve transform; empty otherwise. */
  readonly table: Int16Array;
}

const NO_TABLE = new Int16Array(0);

/** @throws {RangeError} for weights that are not finite, and sizes that the transform does not have. */
export function analyze(values: Float32Array, shape: Shape, options: TransformOptions): Coefficients {
  if (!values.every(Number.isFinite)) throw new RangeError('NaN or infinite weights cannot be transformed');
  const { transform, size, dimensions } = options;
  if (transform === 'svd') return { numbers: singularFactors(values, shape), table: NO_TABLE };
  if (transform in FIXED)
    return { numbers: forward(values, shape, fixedBasis(transform, size), dimensions), table: NO_TABLE };
  // rows of tiles have one second moment for both sides: blocks of them are what it is taken of
  const blocks = forward(values, shape, fixedBasis('none', size), dimensions);
  const table = karhunenTable(blocks, size);
  return { numbers: forward(values, shape, karhunenBasis(table, size), dimensions), table };
}

/** The inverse of {@link analyze}. */
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

/** How many numbers a matrix becomes, and entries its table has. */
export function coefficientCounts(shape: Shape, { transform, size, dimensions }: TransformOptions) {
  if (transform === 'svd')
    return { numbers: Math.min(shape.rows, shape.columns) * (shape.rows + shape.columns), table: 0 };
  const basis = fixedBasis(transform === 'klt' ? 'none' : transform, size);
  return { numbers: numberCount(shape, basis, dimensions), table: transform === 'klt' ? size * size : 0 };
}
