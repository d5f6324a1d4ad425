import type { ByteSource } from '../../core/byte-source.js';
import { DTYPE_BYTES, elementCount } from '../../core/dtype.js';
import type { Build } from '../../models/pickle/values.js';
import { PickleObject } from '../../models/pickle/values.js';
import { readCheckpoint } from '../../models/pytorch/checkpoint.js';
import { allTensors, chooseState } from '../../models/pytorch/states.js';
import type { Storage } from '../../models/pytorch/storages.js';
import { TORCH, type TorchTensor } from '../../models/pytorch/tensors.js';
import type { StoredTensor } from '../../models/safetensors/header.js';

/** An object of an unknown class: its data is ignored. */
class Opaque extends PickleObject {}

/** Accepts every global name: unknown ones become opaque objects, because only storages are needed. */
export class AnyName extends Map<string, Build> {
  override get(name: string): Build {
    return super.get(name) ?? (() => new Opaque());
  }
}

/**
 * Reads the storages of a PyTorch checkpoint with their positions. A storage has name and shape of the tensor that fills it, or else its key.
 * @throws {InputError} for a checkpoint that cannot be read.
 */
export async function torchTensors(source: ByteSource): Promise<StoredTensor[]> {
  const { value, storages, startOf } = await readCheckpoint(source, new AnyName(TORCH));
  const named = wholeTensors(namedTensors(value, source.name));
  const tensors: StoredTensor[] = [];
  for (const storage of storages.values()) {
    const { lengthBytes } = storage;
    const start = await startOf(storage);
    const [name, tensor] = named.get(storage.key) ?? [];
    const element = storage.type ?? { dtype: 'U8', per: 1 };
    const plain = {
      name: `storage ${storage.key}`,
      dtype: element.dtype,
      shape: [storage.count * element.per],
    };
    const known = name !== undefined && tensor ? { name, dtype: tensor.dtype, shape: tensor.shape } : plain;
    tensors.push({ ...known, lengthBytes, start, end: start + lengthBytes });
  }
  return tensors;
}

/** Names the tensors of a checkpoint: without a path if it has a single state, else with the path. */
export function namedTensors(
  value: Parameters<typeof allTensors>[0],
  file: string,
): Map<string, TorchTensor> {
  const all = allTensors(value);
  try {
    const { path } = chooseState(value, undefined, file);
    const own = (name: string) => (path && name.startsWith(`${path}.`) ? name.slice(path.length + 1) : name);
    const names = [...all].map(([name, tensor]) => [own(name), tensor] as const);
    return new Set(names.map(([name]) => name)).size === all.size ? new Map(names) : all;
  } catch {
    return all; // several states
  }
}

/** Returns for each storage, by its key, the first tensor that fills it contiguously. */
function wholeTensors(tensors: ReadonlyMap<string, TorchTensor>) {
  const whole = new Map<Storage['key'], readonly [string, TorchTensor]>();
  for (const [name, tensor] of tensors) {
    const { storage, dtype, offset, shape, isContiguous } = tensor;
    const fills = elementCount(shape) * DTYPE_BYTES[dtype] === storage.lengthBytes;
    if (offset === 0 && isContiguous && fills && !whole.has(storage.key))
      whole.set(storage.key, [name, tensor]);
  }
  return whole;
}
