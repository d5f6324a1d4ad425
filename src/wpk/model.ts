import { LOSSLESS } from '../codecs/codec.js';
import type { ByteSource } from '../core/byte-source.js';
import { InputError, isInputError } from '../core/errors.js';
import { parsePythonJson } from '../core/json.js';
import type { Model, SideFile, Tensor, WeightFile } from '../core/model.js';
import { readable } from '../core/tensor.js';
import type { BasePlace, FindBase } from './base.js';
import { bytesOf, type StoredTensorEntry, tensorsByFile } from './directory.js';
import { readElements } from './elements.js';
import { planTensor } from './plan.js';
import { Container } from './reader.js';

/** A model in a .wpk file, decoded block by block when it is read. Its tensors are those of the model's weight files, not of others. */
export class WpkModel implements Model {
  readonly kind = 'wpk';
  readonly tensors: readonly Tensor[];
  readonly sideFiles: readonly SideFile[];
  readonly weightFiles: readonly WeightFile[];
  private readonly entries: ReadonlyMap<string, StoredTensorEntry>;

  private constructor(
    readonly id: string,
    readonly container: Container,
    readonly config: Readonly<Record<string, unknown>> | undefined,
    readonly configError: InputError | undefined,
  ) {
    const { directory } = container;
    const own = tensorsByFile(directory).filter(({ file }) => file.isModel);
    const tensors = own.flatMap((file) => file.tensors);
    this.entries = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    if (this.entries.size !== tensors.length)
      throw new InputError('duplicate tensor name in two weight files of the model', { file: id });
    this.tensors = readable(
      this,
      tensors.map((tensor) => ({
        name: tensor.name,
        dtype: tensor.dtype,
        shape: tensor.shape,
        sha256: tensor.sha256,
        lengthBytes: bytesOf(tensor),
      })),
    );
    this.sideFiles = directory.sideFiles.map((file) => ({
      name: file.name,
      lengthBytes: file.length,
      read: () => container.readFile(file),
    }));
    this.weightFiles = own.map(({ file: { name, length } }) => ({ name, lengthBytes: length }));
  }

  /** Opens a .wpk. @throws {InputError} like {@link Container.open}; the source is then closed. */
  static async open(source: ByteSource, signal?: AbortSignal, findBase?: FindBase): Promise<WpkModel> {
    try {
      const container = await Container.open(source, signal, findBase);
      const file = container.directory.sideFiles.find(({ name }) => name === 'config.json');
      const config = file && tryConfig(await container.readFile(file), `${source.name}, config.json`);
      return new WpkModel(source.name, container, config?.value, config?.error);
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  async readTensor(name: string, start = 0, end?: number, signal?: AbortSignal): Promise<Uint8Array> {
    const tensor = this.entries.get(name);
    if (!tensor) throw new InputError('no such tensor', { file: this.id, tensor: name });
    const lengthBytes = bytesOf(tensor);
    const stop = end ?? lengthBytes;
    if (!(start >= 0 && start <= stop && stop <= lengthBytes))
      throw new InputError(`range is outside the tensor of ${lengthBytes} bytes`, {
        file: this.id,
        tensor: name,
        start,
        end: stop,
      });
    return readElements(this.container, tensor, start, stop, signal);
  }

  /** Returns the frame of the block with these bytes of a tensor, for threads that decode it; undefined if they are not one block, or elsewhere. */
  placeOf(name: string, start: number, end: number): BasePlace | undefined {
    const { name: file, descriptor } = this.container.source;
    const tensor = this.entries.get(name);
    if (descriptor === undefined || tensor?.codec !== LOSSLESS || tensor.base) return undefined;
    const [planned, next] = planTensor(tensor, start, end);
    if (!planned || next || planned.firstByte !== start || planned.endByte !== end) return undefined;
    const frameOf = { tensor: name, block: planned.block };
    return { file, descriptor, start: planned.start, end: planned.end, frameOf };
  }

  async verify(): Promise<void> {
    await this.container.source.verify?.();
  }

  close(): Promise<void> {
    return this.container.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Parses a config; returns the error instead of throwing it, because not every operation needs the config. */
function tryConfig(bytes: Uint8Array, file: string) {
  try {
    return { value: parsePythonJson(bytes, file) };
  } catch (error) {
    if (!isInputError(error)) throw error;
    return { error };
  }
}
