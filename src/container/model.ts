import { InputError } from '../errors.js';
import { DTYPE_BYTES, elementCount } from '../formats/dtype.js';
import { parseJsonObject } from '../formats/json.js';
import type { Model, SideFile, TensorInfo, WeightFile } from '../formats/model.js';
import type { ByteSource } from '../io/source.js';
import type { StoredTensorEntry } from './directory.js';
import { planTensor } from './plan.js';
import { Container, decodeFrame } from './reader.js';

/** A model in a .wpk file, decoded block by block as it is read. */
export class WpkModel implements Model {
  readonly kind = 'wpk';
  readonly tensors: readonly TensorInfo[];
  readonly sideFiles: readonly SideFile[];
  readonly weightFiles: readonly WeightFile[];
  private readonly entries: ReadonlyMap<string, StoredTensorEntry>;

  private constructor(
    readonly id: string,
    readonly container: Container,
    readonly config: Readonly<Record<string, unknown>> | undefined,
  ) {
    const { tensors, sideFiles, weightFiles } = container.directory;
    this.entries = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    this.tensors = tensors.map(({ name, dtype, shape, sha256 }) => ({
      name,
      dtype,
      shape,
      sha256,
      lengthBytes: elementCount(shape) * DTYPE_BYTES[dtype],
    }));
    this.sideFiles = sideFiles.map((file) => ({
      name: file.name,
      lengthBytes: file.length,
      read: () => container.readFile(file),
    }));
    this.weightFiles = weightFiles.map(({ name, length }) => ({ name, lengthBytes: length }));
  }

  /** @throws {InputError} as {@link Container.open}; the source is closed then. */
  static async open(source: ByteSource, signal?: AbortSignal): Promise<WpkModel> {
    try {
      const container = await Container.open(source, signal);
      const file = container.directory.sideFiles.find(({ name }) => name === 'config.json');
      const config =
        file && parseJsonObject(await container.readFile(file), `${source.name}, config.json`).value;
      return new WpkModel(source.name, container, config);
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  async readTensor(name: string, start = 0, end?: number, signal?: AbortSignal): Promise<Uint8Array> {
    const tensor = this.entries.get(name);
    if (!tensor) throw new InputError('no such tensor', { file: this.id, tensor: name });
    const lengthBytes = elementCount(tensor.shape) * DTYPE_BYTES[tensor.dtype];
    const stop = end ?? lengthBytes;
    if (!(start >= 0 && start <= stop && stop <= lengthBytes))
      throw new InputError(`range lies outside the tensor of ${lengthBytes} bytes`, {
        file: this.id,
        tensor: name,
        start,
        end: stop,
      });
    const bytes = new Uint8Array(stop - start);
    const blocks = planTensor(tensor, start, stop);
    const side = blocks.length ? await this.container.readSide(tensor, signal) : {};
    for (const planned of blocks) {
      const frame = await this.container.readFrame(planned, signal);
      const elements = decodeFrame(frame, planned, tensor, side, this.id);
      const from = Math.max(0, start - planned.firstByte);
      bytes.set(elements.subarray(from, stop - planned.firstByte), planned.firstByte + from - start);
    }
    return bytes;
  }

  close(): Promise<void> {
    return this.container.close();
  }
}
