import { elementCount } from '../../core/dtype.js';
import { latin1Bytes } from './latin1.js';
import { type Build, PickleObject, type PickleValue } from './values.js';

/** A NumPy element type: a letter for the kind and a size in bytes. */
export class NumpyDtype extends PickleObject {
  byteOrder = '<';

  /** @param code such as `f8`, `c16`, `i4`. */
  constructor(readonly code: string) {
    super();
  }

  override setState(state: PickleValue): void {
    if (Array.isArray(state) && typeof state[1] === 'string') this.byteOrder = state[1];
  }

  get itemBytes(): number {
    return Number(/\d+$/.exec(this.code)?.[0] ?? 0);
  }
}

/** A NumPy array with its elements as stored in the pickle. */
export class NumpyArray extends PickleObject {
  dtype = new NumpyDtype('V0');
  shape: readonly number[] = [];
  bytes = new Uint8Array(0);

  override setState(state: PickleValue): void {
    const [, shape, dtype, , bytes] = Array.isArray(state) ? state : [];
    const data = typeof bytes === 'string' ? latin1Bytes(bytes) : bytes;
    if (!Array.isArray(shape) || !(dtype instanceof NumpyDtype) || !(data instanceof Uint8Array))
      throw new RangeError('NumPy array without shape, type or elements');
    const sizes = shape.map((size) => (typeof size === 'number' ? size : Number.NaN));
    const count = elementCount(sizes);
    if (!Number.isSafeInteger(count) || count * dtype.itemBytes !== data.length)
      throw new RangeError(
        `NumPy array: shape [${sizes}] of ${dtype.code} does not match ${data.length} bytes`,
      );
    this.shape = sizes;
    this.dtype = dtype;
    this.bytes = data as Uint8Array<ArrayBuffer>;
  }
}

const MAX_CODE_LENGTH = 64;

const reconstruct: Build = () => new NumpyArray();
const scalar: Build = ([dtype, bytes]) => {
  const array = new NumpyArray();
  array.setState([1, [], dtype ?? null, false, bytes ?? null]);
  return array;
};

/** NumPy's names, under both of its module paths. */
export const NUMPY: Readonly<Record<string, Build>> = {
  'numpy.ndarray': reconstruct,
  'numpy.dtype': ([code]) => {
    if (typeof code !== 'string' || code.length > MAX_CODE_LENGTH)
      throw new RangeError('NumPy type without a name');
    return new NumpyDtype(code);
  },
  ...Object.fromEntries(
    ['numpy.core.multiarray', 'numpy._core.multiarray'].flatMap((module) => [
      [`${module}._reconstruct`, reconstruct],
      [`${module}.scalar`, scalar],
    ]),
  ),
};
