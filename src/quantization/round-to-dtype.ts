import type { Dtype } from '../core/dtype.js';
import { ELEMENTS } from '../core/elements.js';
import { roundMantissa } from '../core/round.js';

/** Returns the little-endian elements nearest to float32 values, float32 itself rounded to bfloat16; undefined for dtypes of neither 16 nor 32 bits. */
export function roundToDtype(values: Float32Array, dtype: Dtype): Uint8Array | undefined {
  if (!Object.hasOwn(ELEMENTS, dtype)) return undefined;
  const copy = values.slice();
  if (dtype === 'F32') roundMantissa(copy, 7);
  return ELEMENTS[dtype as keyof typeof ELEMENTS](copy);
}
