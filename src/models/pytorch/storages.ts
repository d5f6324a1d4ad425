import type { Dtype } from '../../core/dtype.js';
import { DTYPE_BYTES } from '../../core/dtype.js';
import { Name, PickleObject, type PickleValue } from '../pickle/values.js';

/** An element type of PyTorch as `per` elements of a dtype: complex numbers are two floats. */
export interface ElementType {
  readonly dtype: Dtype;
  readonly per: number;
}

/** Bytes that tensors are views of: an entry of a zip archive, or a range of an old file. */
export class Storage extends PickleObject {
  /** @param type of its elements; undefined for untyped bytes. @param count number of elements. */
  constructor(
    readonly key: string,
    readonly type: ElementType | undefined,
    readonly count: number,
  ) {
    super();
  }

  get lengthBytes(): number {
    return this.count * (this.type ? DTYPE_BYTES[this.type.dtype] * this.type.per : 1);
  }
}

const one = (dtype: Dtype): ElementType => ({ dtype, per: 1 });
const two = (dtype: Dtype): ElementType => ({ dtype, per: 2 });

/** PyTorch's storage classes. */
export const STORAGES: Readonly<Record<string, ElementType>> = {
  FloatStorage: one('F32'),
  DoubleStorage: one('F64'),
  HalfStorage: one('F16'),
  BFloat16Storage: one('BF16'),
  LongStorage: one('I64'),
  IntStorage: one('I32'),
  ShortStorage: one('I16'),
  CharStorage: one('I8'),
  ByteStorage: one('U8'),
  BoolStorage: one('BOOL'),
  ComplexFloatStorage: two('F32'),
  ComplexDoubleStorage: two('F64'),
  QInt8Storage: one('I8'),
  QUInt8Storage: one('U8'),
  QInt32Storage: one('I32'),
};

/** PyTorch's dtypes, as files with untyped storages name them. */
export const TYPES: Readonly<Record<string, ElementType>> = {
  float32: one('F32'),
  float64: one('F64'),
  float16: one('F16'),
  bfloat16: one('BF16'),
  complex32: two('F16'),
  complex64: two('F32'),
  complex128: two('F64'),
  int64: one('I64'),
  int32: one('I32'),
  int16: one('I16'),
  int8: one('I8'),
  uint64: one('U64'),
  uint32: one('U32'),
  uint16: one('U16'),
  uint8: one('U8'),
  bool: one('BOOL'),
  float8_e4m3fn: one('F8_E4M3'),
  float8_e5m2: one('F8_E5M2'),
  // read as bytes, since they are not computed with
  float8_e4m3fnuz: one('U8'),
  float8_e5m2fnuz: one('U8'),
  float8_e8m0fnu: one('U8'),
  float4_e2m1fn_x2: one('U8'),
};

/** Returns the storage of a persistent id: ('storage', class, key, device, elements), and in old files a view. @throws {RangeError} */
export function storageOf(id: PickleValue): Storage {
  const [kind, type, key, , count, view] = Array.isArray(id) ? id : [];
  if (kind !== 'storage' || !(type instanceof Name) || typeof key !== 'string' || typeof count !== 'number')
    throw new RangeError('expected the persistent id of a storage');
  if (view !== undefined && view !== null)
    throw new RangeError('storages that are views of others are not supported');
  if (!Number.isSafeInteger(count) || count < 0) throw new RangeError(`invalid storage size ${count}`);
  const name = type.name.slice(type.name.lastIndexOf('.') + 1);
  return new Storage(key, name === 'UntypedStorage' ? undefined : STORAGES[name], count);
}
