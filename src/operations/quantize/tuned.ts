import type { Model, TensorInfo } from '../../core/model.js';
import { finderOf } from '../../models/gguf/tensor-map.js';
import { type PlannedTensor, planTensor } from '../export/gguf-tensors.js';
import { type Described, describe } from './described.js';

/**
 * Returns the tensors of a file that hold tuned vectors, with their values.
 * @param tuned by names of the opened file, whose prefix may not be the model's own.
 */
export async function tunedTensors(
  model: Model,
  { views, mapping }: Described,
  tuned: ReadonlyMap<string, Float32Array>,
): Promise<PlannedTensor[]> {
  const find = mapping && finderOf(model, mapping.plan);
  const values = new Map([...tuned].map(([name, vector]) => [find ? find(name).name : name, vector]));
  const changed = await describe(withVectors(model, values), mapping ? 'llama.cpp' : 'checkpoint');
  const isTuned = ({ sources }: { readonly sources: readonly TensorInfo[] }) =>
    sources.every(({ name }) => values.has(name));
  const written = new Set(views.filter(isTuned).map(({ name }) => name));
  return changed.views.filter(({ name }) => written.has(name)).map((view) => planTensor(model, view, 'F32'));
}

/** Returns a model with other values of some vectors, as float32. */
function withVectors(model: Model, values: ReadonlyMap<string, Float32Array>): Model {
  const tensors = model.tensors.map((tensor) => {
    const own = values.get(tensor.name);
    return own ? { ...tensor, dtype: 'F32' as const, lengthBytes: own.byteLength } : tensor;
  });
  const readTensor: Model['readTensor'] = async (name, start = 0, end, signal) => {
    const own = values.get(name);
    if (!own) return model.readTensor(name, start, end, signal);
    return new Uint8Array(own.buffer, own.byteOffset, own.byteLength).slice(start, end);
  };
  return Object.create(model, { tensors: { value: tensors }, readTensor: { value: readTensor } }) as Model;
}
