import { toFloat16 } from '../../codec/float16.js';
import type { Dtype } from '../../formats/dtype.js';
import { roundMantissa } from './round.js';

/** Little-endian elements of a 16-bit type nearest to float32 values; undefined for types that are not narrowed to. */
export function narrow(values: Float32Array, dtype: Dtype): Uint8Array | undefined {
  const convert = Object.hasOwn(NARROW, dtype) ? NARROW[dtype as keyof typeof NARROW] : undefined;
  return convert?.(values.slice());
}

const NARROW = {
  F32: (values: Float32Array) => {
    roundMantissa(values, 7);
    return new Uint8Array(values.buffer);
  },
  BF16: (values: Float32Array) => {
    roundMantissa(values, 7);
    const words = new Uint32Array(values.buffer);
    return new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer);
  },
  F16: (values: Float32Array) => new Uint8Array(Uint16Array.from(values, toFloat16).buffer),
} as const;
