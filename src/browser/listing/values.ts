import type { Dtype } from '../../core/dtype.js';
import { fromFloat16 } from '../../core/float16.js';
import { canWiden, widenerOf } from '../../core/floats.js';
import { asElements } from '../../core/typed-array.js';

/** Returns little-endian elements of any type as floats; integers over 2^24 are rounded. NaN and infinity stay as they are. */
export function valuesOf(name: string, dtype: Dtype, bytes: Uint8Array): Float32Array {
  if (canWiden(dtype)) return widenerOf({ id: '' }, name, dtype)(bytes);
  if (dtype !== 'F8_E4M3' && dtype !== 'F8_E5M2')
    return Float32Array.from(asElements(bytes, dtype) as ArrayLike<number | bigint>, Number);
  const decode = dtype === 'F8_E5M2' ? (byte: number) => fromFloat16(byte << 8) : fromE4M3;
  const table = Float32Array.from({ length: 256 }, (_, byte) => decode(byte));
  return Float32Array.from(bytes, (byte) => table[byte]!);
}

/** Decodes float8 with four bits of exponent (bias 7) and three of mantissa; all ones is NaN, and nothing is infinite. */
function fromE4M3(byte: number): number {
  const [exponent, mantissa] = [(byte >> 3) & 15, byte & 7];
  if ((byte & 127) === 127) return Number.NaN;
  const size = exponent ? (1 + mantissa / 8) * 2 ** (exponent - 7) : (mantissa / 8) * 2 ** -6;
  return byte & 128 ? -size : size;
}
