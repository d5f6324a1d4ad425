import type { Basis } from './basis.js';

/** Unit of the entries of a stored basis; the loss by rounding them is far below that of coefficients. */
export const UNIT = 1 / 32767;

/** Returns the basis of a stored table. */
export function karhunenBasis(table: Int16Array, size: number): Basis {
  return { size, real: Float64Array.from(table, (entry) => entry * UNIT) };
}
