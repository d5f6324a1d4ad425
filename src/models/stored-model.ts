import type { ByteSource, FilePlace } from '../core/byte-source.js';
import { InputError } from '../core/errors.js';
import type { Model, SideFile, Tensor, WeightFile } from '../core/model.js';
import { readable } from '../core/tensor.js';
import { readSafetensors, type StoredTensor } from './safetensors/header.js';

/** Format of a weight file; `onnx-data` is one beside an ONNX file that describes it, `bytes` one that cannot be parsed. */
export type WeightFormat = 'safetensors' | 'pytorch' | 'gguf' | 'onnx' | 'onnx-data' | 'bytes';

/** One weight file: its bytes, its header as stored, and its tensors in byte order. */
export interface WeightSource {
  /** Relative to the model's folder. */
  readonly name: string;
  readonly source: ByteSource;
  /** All bytes before the first tensor. The file consists of these and the tensors, back to back. */
  readonly headerBytes: Uint8Array;
  readonly tensors: readonly StoredTensor[];
  /**
   * For files with other bytes between tensors: how many of `headerBytes` precede each tensor, and how many follow the last.
   */
  readonly between?: readonly number[];
  /** Format on disk; undefined for a file that is presented as safetensors. */
  readonly format?: WeightFormat;
  /** Why a file that should hold tensors, by its name, is stored as bytes. */
  readonly note?: string | undefined;
  /** Bytes of the original file, if `source` is a converted view of it. */
  readonly storedBytes?: number;
}

/** A model whose weight files are accessible as safetensors or as a view in that format. */
export interface StoredModel extends Model {
  readonly kind: Exclude<Model['kind'], 'wpk'>;
  readonly weightSources: readonly WeightSource[];
}

/**
 * Reads the header of one safetensors file. The result owns the source.
 * @throws {InputError} as {@link readSafetensors}, after closing the source.
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

/** The parts of a {@link FileBackedModel}. */
export type FileBackedParts = Pick<
  StoredModel,
  | 'id'
  | 'kind'
  | 'config'
  | 'configError'
  | 'state'
  | 'notRun'
  | 'sideFiles'
  | 'weightSources'
  | 'files'
  | 'leftOut'
>;

/** A model whose tensors are ranges of {@link ByteSource}s on disk, over HTTP or in memory. */
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
  readonly notRun: FileBackedParts['notRun'];
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
    this.notRun = parts.notRun;
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
          throw new InputError(`duplicate name, also in ${other}`, {
            file: source.name,
            tensor: tensor.name,
          });
        this.places.set(tensor.name, { tensor, source });
      }
  }

  async readTensor(name: string, start = 0, end?: number, signal?: AbortSignal): Promise<Uint8Array> {
    const { source, ...range } = this.rangeOf(name, start, end);
    return source.read(range.start, range.end, signal);
  }

  /** Returns where bytes of a tensor are on this machine, for threads that read them; undefined if they are elsewhere, or converted. */
  placeOf(name: string, start: number, end: number): FilePlace | undefined {
    const { source, ...range } = this.rangeOf(name, start, end);
    const { descriptor, name: file } = source;
    return descriptor === undefined ? undefined : { ...range, file, descriptor };
  }

  /** Returns the place of bytes of a tensor in its file. @throws {InputError} outside of the tensor. */
  private rangeOf(name: string, start: number, end?: number) {
    const place = this.places.get(name);
    if (!place) throw new InputError('no such tensor', { file: this.id, tensor: name });
    const { tensor, source } = place;
    const stop = end ?? tensor.lengthBytes;
    if (!(start >= 0 && start <= stop && stop <= tensor.lengthBytes))
      throw new InputError(`range is outside the tensor of ${tensor.lengthBytes} bytes`, {
        file: source.name,
        tensor: name,
        start,
        end: stop,
      });
    return { source, start: tensor.start + start, end: tensor.start + stop };
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

/** Returns whether a model is read through a view in another format, so that its original files cannot be restored from it. */
export function isConvertedView({ weightSources }: StoredModel): boolean {
  return weightSources.some(({ storedBytes }) => storedBytes !== undefined);
}

/** Returns whether a model's weight files are accessible. */
export function isStoredModel(model: Model): model is StoredModel {
  return 'weightSources' in model;
}
