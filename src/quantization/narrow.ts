import type { Dtype } from '../core/dtype.js';
import { ELEMENTS } from '../core/elements.js';
import { roundMantissa } from '../core/round.js';

/** Little-endian elements with 16 bits that count, nearest to float32 values; undefined for types that are not narrowed to. */
export function narrow(values: Float32Array, dtype: Dtype): Uint8Array | undefined {
  if (!Object.hasOwn(ELEMENTS, dtype)) return undefined;
  const copy = values.slice();
  if (dtype === 'F32') roundMantissa(copy, 7);
  return ELEMENTS[dtype as keyof typeof ELEMENTS](copy);
}
