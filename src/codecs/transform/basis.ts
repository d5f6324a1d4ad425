/**
 * An orthonormal transform of blocks of `size` numbers: coefficient k is row k of the matrix times the block. A unitary one has an
 * imaginary part too, and takes 2 `size` real numbers for `size`.
 */
export interface Basis {
  readonly size: number;
  /** [size, size] */
  readonly real: Float64Array;
  readonly imaginary?: Float64Array;
}
