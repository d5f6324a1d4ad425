import { DTYPE_BYTES } from './dtype.js';
import { widenerOf } from './floats.js';
import type { Model, Tensor, TensorInfo, TensorRange } from './model.js';

/** Returns tensors with the methods that read them from their model. */
export function readable<Info extends TensorInfo>(
  model: Pick<Model, 'id' | 'readTensor'>,
  tensors: readonly Info[],
): (Info & Tensor)[] {
  return tensors.map((tensor) => new ReadableTensor(model, tensor) as ReadableTensor & Info);
}

/** A copy of what a tensor is, so that spreading it gives plain data again. */
class ReadableTensor implements Tensor {
  declare readonly name: TensorInfo['name'];
  declare readonly dtype: TensorInfo['dtype'];
  declare readonly shape: TensorInfo['shape'];
  declare readonly lengthBytes: TensorInfo['lengthBytes'];
  readonly #model: Pick<Model, 'id' | 'readTensor'>;

  constructor(model: Pick<Model, 'id' | 'readTensor'>, info: TensorInfo) {
    Object.assign(this, info);
    this.#model = model;
  }

  async bytes({ start, end, signal }: TensorRange = {}): Promise<Uint8Array> {
    signal?.throwIfAborted();
    return this.#model.readTensor(this.name, start, end, signal);
  }

  async floats({ start, end, signal }: TensorRange = {}): Promise<Float32Array> {
    const widen = widenerOf(this.#model, this.name, this.dtype);
    const width = DTYPE_BYTES[this.dtype];
    const bytes = { start: start && start * width, end: end && end * width, signal };
    return widen(await this.bytes(bytes));
  }
}
