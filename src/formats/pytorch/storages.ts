import type { Dtype } from '../dtype.js';
import { DTYPE_BYTES } from '../dtype.js';
import { Name, PickleObject, type PickleValue } from '../pickle/values.js';

/** Bytes that tensors are views of: an entry of a zip archive, or a part of an old file. */
export class Storage extends PickleObject {
  /** @param dtype of its elements; undefined for untyped bytes. */
  constructor(
    readonly key: string,
    readonly dtype: Dtype | undefined,
    readonly count: number,
  ) {
    super();
  }

  get lengthBytes(): number {
    return this.count * (this.dtype ? DTYPE_BYTES[this.dtype] : 1);
  }
}

/** PyTorch's storage classes, and its types as new files name them. */
export const STORAGES: Readonly<Record<string, Dtype>> = {
  FloatStorage: 'F32',
  DoubleStorage: 'F64',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
};

export const TYPES: Readonly<Record<string, Dtype>> = {
  float32: 'F32',
  float64: 'F64',
  float16: 'F16',
  bfloat16: 'BF16',
  int64: 'I64',
  int32: 'I32',
  int16: 'I16',
  int8: 'I8',
  uint8: 'U8',
  bool: 'BOOL',
  float8_e4m3fn: 'F8_E4M3',
  float8_e5m2: 'F8_E5M2',
};

/** The storage that a persistent id stands for: ('storage', class, key, place, elements), in old files a view besides. */
export function storageOf(id: PickleValue): Storage {
  const [kind, type, key, , count, view] = Array.isArray(id) ? id : [];
  if (kind !== 'storage' || !(type instanceof Name) || typeof key !== 'string' || typeof count !== 'number')
    throw new RangeError('a persistent id that is not a storage');
  if (view !== undefined && view !== null) throw new RangeError('a storage that is a view of another');
  if (!Number.isSafeInteger(count) || count < 0) throw new RangeError(`a storage of ${count} elements`);
  const name = type.name.slice(type.name.lastIndexOf('.') + 1);
  return new Storage(key, name === 'UntypedStorage' ? undefined : STORAGES[name], count);
}
