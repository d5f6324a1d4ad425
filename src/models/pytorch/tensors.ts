import { DTYPE_BYTES, type Dtype, elementCount } from '../../core/dtype.js';
import { PLAIN } from '../pickle/allowed.js';
import { type Allowed, type Build, Name, PickleObject, type PickleValue } from '../pickle/values.js';
import { STORAGES, Storage, TYPES } from './storages.js';

/** A tensor as a view of a storage. */
export class TorchTensor extends PickleObject {
  constructor(
    readonly storage: Storage,
    readonly dtype: Dtype,
    /** Offset in the storage, in elements. */
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {
    super();
  }

  /** Number of the storage's elements from the first to the last one in the view. */
  get span(): number {
    if (elementCount(this.shape) === 0) return 0;
    return this.shape.reduce((last, size, i) => last + (size - 1) * this.strides[i]!, 1);
  }

  /** Whether its elements are consecutive in row-major order. */
  get isContiguous(): boolean {
    let expected = 1;
    for (let i = this.shape.length - 1; i >= 0; i--) {
      if (this.shape[i] !== 1 && this.strides[i] !== expected) return false;
      expected *= this.shape[i]!;
    }
    return true;
  }
}

/** All names that a checkpoint's pickle may use. */
export const TORCH: Allowed = new Map<string, Build>([
  ...PLAIN,
  ['torch._utils._rebuild_tensor_v2', rebuild],
  ['torch._utils._rebuild_tensor_v3', rebuild],
  ['torch._utils._rebuild_parameter', ([tensor]) => tensor ?? null],
  ['torch._utils._rebuild_parameter_with_state', ([tensor]) => tensor ?? null],
  ['torch.nn.parameter.Parameter', ([tensor]) => tensor ?? null],
  ['torch.Size', ([sizes]) => sizes ?? null],
  ['torch.device', () => null],
  ['torch.storage.UntypedStorage', notCalled],
  ...Object.keys(STORAGES).flatMap((name) => [
    [`torch.${name}`, notCalled] as const,
    [`torch.cuda.${name}`, notCalled] as const,
    [`torch.storage.${name}`, notCalled] as const,
  ]),
  ...Object.keys(TYPES).map((name) => [`torch.${name}`, notCalled] as const),
]);

function notCalled(_: readonly PickleValue[], name: string): never {
  throw new RangeError(`${name} is a type and cannot be called`);
}

/** Builds a tensor from (storage, offset, sizes, strides, requires_grad, hooks) and, for untyped storages, a dtype. */
function rebuild([storage, offset, sizes, strides, , , type]: readonly PickleValue[]): PickleValue {
  if (!(storage instanceof Storage)) throw new RangeError('tensor without a storage');
  const named = type instanceof Name ? TYPES[type.name.slice('torch.'.length)] : undefined;
  const element = storage.type ?? named;
  if (!element) throw new RangeError('tensor of an unknown type');
  const { dtype, per } = element;
  const scaled = (numbers: readonly number[]) => numbers.map((number) => number * per);
  const [shape, steps] = [list(sizes), scaled(list(strides))];
  if (steps.length !== shape.length) throw new RangeError('the numbers of sizes and strides differ');
  const pair = per > 1; // the parts of a complex number become the last dimension
  const tensor = new TorchTensor(
    storage,
    dtype,
    whole(offset) * per,
    pair ? [...shape, per] : shape,
    pair ? [...steps, 1] : steps,
  );
  const last = (tensor.offset + tensor.span) * DTYPE_BYTES[dtype];
  if (!(last <= storage.lengthBytes))
    throw new RangeError(`tensor ends at byte ${last} of a storage of ${storage.lengthBytes}`);
  return tensor;
}

function whole(value: PickleValue | undefined): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new RangeError('expected a size, stride or offset to be a non-negative integer');
}

const MAX_DIMENSIONS = 256;

function list(value: PickleValue | undefined): number[] {
  if (!Array.isArray(value) || value.length > MAX_DIMENSIONS)
    throw new RangeError('expected a list of sizes or strides');
  return value.map(whole);
}
