import { fromFloat16 } from '../core/float16.js';
import { NumpyArray } from '../models/pickle/numpy.js';
import { Complex, type PickleValue } from '../models/pickle/values.js';

/** Numbers of one type. */
export interface NumberList {
  /** Stored type: `complex128`, `float32`, ... */
  readonly kind: string;
  readonly complex: boolean;
  /** The numbers, complex ones interleaved. */
  readonly values: Float64Array;
}

/** Converts a list of Python numbers or NumPy scalars; undefined for other lists. */
export function numbersOf(items: readonly PickleValue[]): NumberList | undefined {
  if (!items.length) return undefined;
  // fast path without an object per number: lists of millions are common
  if (items.every((item) => typeof item === 'number')) {
    const kind = items.every(Number.isInteger) ? 'integer' : 'float64';
    return { kind, complex: false, values: Float64Array.from(items) };
  }
  const kinds = new Set<string>();
  const complex = scalarOf(items[0]!)?.complex ?? false;
  const values = new Float64Array(items.length * (complex ? 2 : 1));
  for (const [i, item] of items.entries()) {
    const scalar = scalarOf(item);
    if (scalar?.complex !== complex) return undefined;
    kinds.add(scalar.kind);
    values.set(scalar.values, i * scalar.values.length);
  }
  // integer-valued floats look like integers
  if (kinds.size > 1) kinds.delete('integer');
  return { kind: [...kinds].join('/'), complex, values };
}

/** Converts a Python or NumPy number; undefined for other values. */
export function scalarOf(value: PickleValue): NumberList | undefined {
  if (typeof value === 'number')
    return {
      kind: Number.isInteger(value) ? 'integer' : 'float64',
      complex: false,
      values: Float64Array.of(value),
    };
  if (typeof value === 'bigint')
    return { kind: 'integer', complex: false, values: Float64Array.of(Number(value)) };
  if (value instanceof Complex)
    return { kind: 'complex128', complex: true, values: Float64Array.of(value.real, value.imaginary) };
  return value instanceof NumpyArray && value.shape.length === 0 ? arrayOf(value) : undefined;
}

/** Converts a NumPy array; undefined if its elements are not numbers, or are big-endian. */
export function arrayOf({ dtype, bytes }: NumpyArray): NumberList | undefined {
  const read = Object.hasOwn(NUMPY_KINDS, dtype.code) ? NUMPY_KINDS[dtype.code] : undefined;
  if (!read || dtype.byteOrder === '>') return undefined;
  return {
    kind: read.kind,
    complex: dtype.code.startsWith('c'),
    values: Float64Array.from(read.view(bytes.slice().buffer)),
  };
}

interface NumpyKind {
  readonly kind: string;
  readonly view: (buffer: ArrayBuffer) => ArrayLike<number>;
}

const NUMPY_KINDS: Readonly<Record<string, NumpyKind>> = {
  f8: { kind: 'float64', view: (buffer) => new Float64Array(buffer) },
  f4: { kind: 'float32', view: (buffer) => new Float32Array(buffer) },
  f2: { kind: 'float16', view: (buffer) => Float64Array.from(new Uint16Array(buffer), fromFloat16) },
  c16: { kind: 'complex128', view: (buffer) => new Float64Array(buffer) },
  c8: { kind: 'complex64', view: (buffer) => new Float32Array(buffer) },
  i8: { kind: 'int64', view: (buffer) => Array.from(new BigInt64Array(buffer), Number) },
  i4: { kind: 'int32', view: (buffer) => new Int32Array(buffer) },
  i2: { kind: 'int16', view: (buffer) => new Int16Array(buffer) },
  i1: { kind: 'int8', view: (buffer) => new Int8Array(buffer) },
  u8: { kind: 'uint64', view: (buffer) => Array.from(new BigUint64Array(buffer), Number) },
  u4: { kind: 'uint32', view: (buffer) => new Uint32Array(buffer) },
  u2: { kind: 'uint16', view: (buffer) => new Uint16Array(buffer) },
  u1: { kind: 'uint8', view: (buffer) => new Uint8Array(buffer) },
};
