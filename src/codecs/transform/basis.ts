/**
 * An orthonormal transform of blocks of `size` numbers: coefficient k is row k of the matrix times the block. A unitary one also has an
 * imaginary part, and gives 2 `size` real numbers per block.
 */
export interface Basis {
  readonly size: number;
  /** [size, size] */
  readonly real: Float64Array;
  readonly imaginary?: Float64Array;
}
