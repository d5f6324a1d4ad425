import type { Dtype } from './dtype.js';

/** Elements of a tensor; those of F16, BF16, F8 and BOOL as their bits. */
export type ElementArray =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

interface Constructor {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): ElementArray;
}

/** The array of each type. JavaScript has none for F16, BF16, F8 and BOOL. */
const ARRAYS: Readonly<Record<Dtype, Constructor>> = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  F8_E4M3: Uint8Array,
  F8_E5M2: Uint8Array,
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

/** Returns little-endian bytes as an array of elements. It shares their memory, if they are aligned. */
export function asElements(bytes: Uint8Array, dtype: Dtype): ElementArray {
  const Elements = ARRAYS[dtype];
  const width = Elements.BYTES_PER_ELEMENT;
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % width ? bytes.slice() : bytes;
  return new Elements(buffer, byteOffset, byteLength / width);
}
