import { InputError } from './errors.js';
import { toFloat16 } from './float16.js';
import { roundMantissa } from './round.js';

/** Functions that round float32 values to a float type and return its little-endian bytes. They may overwrite the values. */
export const ELEMENTS = {
  F32: (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  BF16: (values: Float32Array) => {
    roundMantissa(values, 7);
    const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
    return new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer);
  },
  F16: (values: Float32Array) => new Uint8Array(Uint16Array.from(values, toFloat16).buffer),
} as const;

/** Bound of the numbers that round to a finite float16. */
const F16_LIMIT = 65520;

/** Checks that numbers can be rounded to float16. @throws {InputError} for one that is out of its range, with a hint of another type. */
export function requireFloat16(values: Float32Array, place: InputError['place'], hint: string): void {
  const large = values.find((value) => Math.abs(value) >= F16_LIMIT && value * 0 === 0);
  if (large) throw new InputError(`${large} is out of range for F16; ${hint}`, place);
}
