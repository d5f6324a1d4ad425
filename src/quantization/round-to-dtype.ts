import type { Dtype } from '../core/dtype.js';
import { ELEMENTS } from '../core/elements.js';
import { roundMantissa } from '../core/round.js';

/** Rounds float32 values to little-endian elements of a dtype; for F32 they are rounded to bfloat16. Returns undefined for dtypes of other than 16 or 32 bits. */
export function roundToDtype(values: Float32Array, dtype: Dtype): Uint8Array | undefined {
  if (!Object.hasOwn(ELEMENTS, dtype)) return undefined;
  const copy = values.slice();
  if (dtype === 'F32') roundMantissa(copy, 7);
  return ELEMENTS[dtype as keyof typeof ELEMENTS](copy);
}
