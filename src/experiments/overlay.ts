import { DTYPE_BYTES } from '../core/dtype.js';
import type { Model, Tensor } from '../core/model.js';
import { readable } from '../core/tensor.js';

/** A model in which some tensors are replaced by float32 tensors in memory. */
export class Overlay implements Model {
  readonly tensors: readonly Tensor[];

  constructor(
    private readonly base: Model,
    private readonly replaced: ReadonlyMap<string, Float32Array>,
  ) {
    const tensors = base.tensors.map((tensor) =>
      replaced.has(tensor.name)
        ? {
            ...tensor,
            dtype: 'F32' as const,
            lengthBytes: replaced.get(tensor.name)!.length * DTYPE_BYTES.F32,
          }
        : tensor,
    );
    this.tensors = readable(this, tensors);
  }

  get id() {
    return this.base.id;
  }
  get kind() {
    return this.base.kind;
  }
  get config() {
    return this.base.config;
  }
  get sideFiles() {
    return this.base.sideFiles;
  }
  get weightFiles() {
    return this.base.weightFiles;
  }

  async readTensor(name: string, start?: number, end?: number, signal?: AbortSignal): Promise<Uint8Array> {
    const values = this.replaced.get(name);
    if (!values) return this.base.readTensor(name, start, end, signal);
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice(start, end);
  }

  /** Does not close the base model, which the caller owns. */
  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
