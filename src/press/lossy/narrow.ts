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
  F16: (values: Float32Array) => new Uint8Array(Uint16Array.from(values, float16Bits).buffer),
} as const;

/** To nearest, ties to even; what is too large becomes the largest finite. */
function float16Bits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.min(Math.abs(value), 65504);
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude || 2 ** -24)));
  const steps = roundToEven(magnitude / 2 ** (exponent - 10));
  // 1024 steps make the leading one of a normal number; a carry moves into the exponent by itself
  return sign | (((exponent + 14) << 10) + steps);
}

function roundToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}
