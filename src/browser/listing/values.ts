import type { Dtype } from '../../core/dtype.js';
import { fromFloat16 } from '../../core/float16.js';
import { canWiden, widenerOf } from '../../core/floats.js';

/** Classes of typed arrays by the integer types that they hold. */
const INTEGERS: Partial<Readonly<Record<Dtype, new (buffer: ArrayBuffer) => ArrayLike<number | bigint>>>> = {
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U64: BigUint64Array,
  U32: Uint32Array,
  U16: Uint16Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};

/** Returns little-endian elements of any type as floats; integers over 2^24 are rounded. NaN and infinity stay as they are. */
export function valuesOf(name: string, dtype: Dtype, bytes: Uint8Array): Float32Array {
  if (canWiden(dtype)) return widenerOf({ id: '' }, name, dtype)(bytes);
  const Integers = INTEGERS[dtype];
  if (Integers) return Float32Array.from(new Integers(bytes.slice().buffer), Number);
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
