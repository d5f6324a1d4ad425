import { tensorRole } from '../../architectures/registry.js';
import type { ByteSource } from '../../core/byte-source.js';
import { DTYPE_BYTES, elementCount } from '../../core/dtype.js';
import { InputError } from '../../core/errors.js';
import type { Config } from '../../core/json.js';
import type { Build } from '../../models/pickle/values.js';
import { readCheckpoint } from '../../models/pytorch/checkpoint.js';
import { TORCH, type TorchTensor } from '../../models/pytorch/tensors.js';
import { viewTensor } from '../../models/pytorch/views.js';
import type { VirtualTensor } from '../../models/virtual.js';
import { AnyName, namedTensors } from '../../wpk/stored/pytorch.js';
import type { Listing } from './listed.js';

/** Maximum bytes of a storage that are read to gather the elements of a view with gaps. */
const MAX_GATHERED_BYTES = 2 ** 26;
const MAX_NAMED = 5;

/** Accepts every name, and notes those that tensors do not need. */
class NotedNames extends AnyName {
  readonly others = new Set<string>();

  override get(name: string): Build {
    if (!this.has(name)) this.others.add(name);
    return super.get(name);
  }
}

/**
 * Lists the tensors of a PyTorch checkpoint. Its pickle is read by an interpreter that runs no code: names that it asks for besides those
 * of tensors become empty objects, and are named in a warning.
 * @throws {InputError} for a checkpoint that cannot be read.
 */
export async function listPytorch(source: ByteSource, config: Config | undefined): Promise<Listing> {
  const names = new NotedNames(TORCH);
  const { value, startOf } = await readCheckpoint(source, names);
  const others = [...names.others];
  const listed = others.slice(0, MAX_NAMED).join(', ');
  const more = others.length > MAX_NAMED ? ` and ${others.length - MAX_NAMED} more` : '';
  return {
    format: 'PyTorch',
    metadata: new Map(),
    ...(others.length && {
      warning: `The pickle in this file names code besides tensors: ${listed}${more}. This page does not run it; PyTorch would, unless it loads weights only.`,
    }),
    tensors: [...namedTensors(value, source.name)].map(([name, tensor]) => ({
      name,
      dtype: tensor.dtype,
      shape: tensor.shape,
      role: tensorRole({ name, shape: tensor.shape }, config),
      bytes: elementCount(tensor.shape) * DTYPE_BYTES[tensor.dtype],
      file: source.name,
      open: () => elementsOf(name, tensor, source, () => startOf(tensor.storage)),
    })),
  };
}

/** Opens a tensor. Of one whose storage has no gaps the elements are read in the storage's order, which is enough to count them. */
function elementsOf(
  name: string,
  tensor: TorchTensor,
  source: ByteSource,
  start: () => Promise<number>,
): VirtualTensor {
  const { dtype, shape, span, offset } = tensor;
  const width = DTYPE_BYTES[dtype];
  if (tensor.isContiguous || span !== elementCount(shape)) {
    if (!tensor.isContiguous && span * width > MAX_GATHERED_BYTES)
      throw new InputError('a view with gaps of a storage that is too large to be read', {
        file: source.name,
        tensor: name,
      });
    return viewTensor(name, tensor, source, start);
  }
  return {
    name,
    dtype,
    shape,
    read: async (from, to, signal) => {
      const first = (await start()) + offset * width;
      return source.read(first + from, first + to, signal);
    },
  };
}
