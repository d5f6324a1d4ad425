import { canWiden, readFloats, toFloats, widenerOf } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import { sha256 } from '../io/node/sha256.js';
import type { Base, TensorBase } from '../wpk/base.js';

/** The base of a model, of which a lossy file stores the quantized differences. */
export class ModelBase {
  private constructor(
    private readonly base: Base,
    private readonly model: Model,
    private readonly tensors: ReadonlyMap<string, TensorBase>,
  ) {}

  /** Finds the base of each tensor, if the difference is smaller than the tensor, and computes its digest. @throws {InputError} when it cannot be read. */
  static async of(base: Base, model: Model, signal?: AbortSignal): Promise<ModelBase> {
    const tensors = new Map<string, TensorBase>();
    for (const tensor of model.tensors) {
      const found = base.match(tensor);
      if (!found) continue;
      signal?.throwIfAborted();
      const bytes = await base.read(found.name, tensor, 0, tensor.lengthBytes, signal);
      if (canWiden(tensor.dtype) && !(await isClose(model, tensor, bytes))) continue;
      const digest = base.knownDigest(found.name, tensor) ?? sha256(bytes);
      tensors.set(tensor.name, { name: found.name, sha256: digest });
    }
    return new ModelBase(base, model, tensors);
  }

  /** The opened base. */
  get opened(): Model {
    return this.base.model;
  }

  /** Returns the base of a tensor; undefined if it has none. */
  of(name: string): TensorBase | undefined {
    return this.tensors.get(name);
  }

  /** The digests of what tensors are differences from. */
  get digests(): string {
    return [...this.tensors.values()].map(({ sha256 }) => sha256).join();
  }

  /** Reads the base's elements of a tensor; undefined if it has none. */
  async read(tensor: TensorInfo): Promise<Uint8Array | undefined> {
    const found = this.tensors.get(tensor.name);
    return found && this.base.read(found.name, tensor, 0, tensor.lengthBytes);
  }

  /** Reads a tensor's weights less those of the base. */
  async differences(tensor: TensorInfo): Promise<Float32Array> {
    const weights = await readFloats(this.model, tensor);
    const base = await this.read(tensor);
    return base ? subtract(weights, toFloats(this.base.model, tensor, base)) : weights;
  }
}

/** Elements that the base does not have are zeros. */
function subtract(weights: Float32Array, base: Float32Array): Float32Array {
  return weights.map((weight, i) => weight - (base[i] ?? 0));
}

/** A difference with more of the weights' energy than this saves no bits worth a base. */
const MAX_SHARE = 0.9;

/** Returns whether the difference has less energy than the weights; false for masks, which may be infinite. */
async function isClose(model: Model, { name, dtype }: TensorInfo, base: Uint8Array): Promise<boolean> {
  const widen = widenerOf(model, name, dtype);
  const weights = widen(await model.readTensor(name));
  const difference = subtract(weights, widen(base));
  const energy = (values: Float32Array) => sumOf(values, (value) => value * value);
  return energy(difference) <= MAX_SHARE * energy(weights);
}
