import type { ByteSource } from '../core/byte-source.js';
import { InputError } from '../core/errors.js';
import type { Model, SideFile, Tensor, WeightFile } from '../core/model.js';
import { readable } from '../core/tensor.js';
import { readSafetensors, type StoredTensor } from './safetensors/header.js';

/** What a file of weights is read as; `bytes` is one that cannot be seen into. */
export type WeightFormat = 'safetensors' | 'pytorch' | 'gguf' | 'bytes';

/** One file of weights: its bytes, its header as stored, and the tensors in it in byte order. */
export interface WeightSource {
  /** Relative to the model's folder. */
  readonly name: string;
  readonly source: ByteSource;
  /** Everything before the first tensor's bytes: file = headerBytes, then tensors back to back. */
  readonly headerBytes: Uint8Array;
  readonly tensors: readonly StoredTensor[];
  /**
   * Where bytes that no tensor holds stand elsewhere than before the first: how many of `headerBytes` are before each tensor, and how
   * many behind the last.
   */
  readonly between?: readonly number[];
  /** As it lies; undefined for what is read as the safetensors file that it would be. */
  readonly format?: WeightFormat;
  /** Why a file is kept as bytes that by its name holds tensors. */
  readonly note?: string | undefined;
  /** Bytes of the file that it is read from, where it is not the source itself but made of it. */
  readonly storedBytes?: number;
}

/** A model stored as safetensors, or as what can be read as if it were, with access to the files themselves. */
export interface StoredModel extends Model {
  readonly kind: Exclude<Model['kind'], 'wpk'>;
  readonly weightSources: readonly WeightSource[];
}

/**
 * Reads the header of one safetensors file. The source stays open and belongs to the result.
 * @throws {InputError} as {@link readSafetensors}; the source is closed then.
 */
export async function openWeightSource(name: string, source: ByteSource): Promise<WeightSource> {
  try {
    const { headerBytes, tensors } = await readSafetensors(source);
    return { name, source, headerBytes, tensors };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** What a {@link FileBackedModel} is made of. */
export type FileBackedParts = Pick<
  StoredModel,
  'id' | 'kind' | 'config' | 'configError' | 'state' | 'sideFiles' | 'weightSources' | 'files' | 'leftOut'
>;

/** A model whose tensors are ranges of {@link ByteSource}s: on disk, over HTTP or in memory alike. */
export class FileBackedModel implements StoredModel {
  readonly id: string;
  readonly kind: Exclude<Model['kind'], 'wpk'>;
  readonly config: Readonly<Record<string, unknown>> | undefined;
  readonly sideFiles: readonly SideFile[];
  readonly weightSources: readonly WeightSource[];
  readonly tensors: readonly (StoredTensor & Tensor)[];
  readonly weightFiles: readonly WeightFile[];
  readonly configError: FileBackedParts['configError'];
  readonly state: FileBackedParts['state'];
  readonly files: FileBackedParts['files'];
  readonly leftOut: FileBackedParts['leftOut'];
  private readonly places = new Map<string, { tensor: StoredTensor; source: ByteSource }>();

  /** @throws {InputError} when two files hold a tensor of the same name. */
  constructor(parts: FileBackedParts) {
    const { id, kind, config, sideFiles, weightSources } = parts;
    this.id = id;
    this.kind = kind;
    this.config = config;
    this.configError = parts.configError;
    this.state = parts.state;
    this.files = parts.files;
    this.leftOut = parts.leftOut;
    this.sideFiles = sideFiles;
    this.weightSources = weightSources;
    this.tensors = readable(
      this,
      weightSources.flatMap(({ tensors }) => tensors),
    );
    this.weightFiles = weightSources.map(({ name, source, storedBytes }) => ({
      name,
      lengthBytes: storedBytes ?? source.byteLength,
    }));
    for (const { source, tensors } of weightSources)
      for (const tensor of tensors) {
        const other = this.places.get(tensor.name)?.source.name;
        if (other !== undefined)
          throw new InputError(`is also in ${other}`, { file: source.name, tensor: tensor.name });
        this.places.set(tensor.name, { tensor, source });
      }
  }

  async readTensor(name: string, start = 0, end?: number, signal?: AbortSignal): Promise<Uint8Array> {
    const place = this.places.get(name);
    if (!place) throw new InputError('no such tensor', { file: this.id, tensor: name });
    const { tensor, source } = place;
    const stop = end ?? tensor.lengthBytes;
    if (!(start >= 0 && start <= stop && stop <= tensor.lengthBytes))
      throw new InputError(`range lies outside the tensor of ${tensor.lengthBytes} bytes`, {
        file: source.name,
        tensor: name,
        start,
        end: stop,
      });
    return source.read(tensor.start + start, tensor.start + stop, signal);
  }

  async verify(): Promise<void> {
    for (const { source } of this.weightSources) await source.verify?.();
  }

  async close(): Promise<void> {
    await Promise.all(this.weightSources.map(({ source }) => source.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** True for a model that is read in another form than its files have: what is restored of it are other files. */
export function isReadAsOther({ weightSources }: StoredModel): boolean {
  return weightSources.some(({ storedBytes }) => storedBytes !== undefined);
}

/** True for models whose original safetensors files are at hand. */
export function isStoredModel(model: Model): model is StoredModel {
  return 'weightSources' in model;
}
