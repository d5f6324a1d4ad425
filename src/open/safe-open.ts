import type { Dtype } from '../core/dtype.js';
import { InputError } from '../core/errors.js';
import { widenerOf } from '../core/floats.js';
import type { Closable, Model, Tensor } from '../core/model.js';
import { readSlice } from '../core/read-slice.js';
import { type SliceRange, sliceOf } from '../core/slice.js';
import { asElements, type ElementArray } from '../core/typed-array.js';
import { metadataIn } from '../models/safetensors/header.js';
import { isStoredModel } from '../models/stored-model.js';
import type { OpenedWpk } from '../wpk/original.js';
import { type OpenModelOptions, openModel } from './open.js';

/**
 * Opens what `open` opens, with the interface of `safe_open` in Python's safetensors: tensors and slices by name. Only headers are read.
 * @throws {InputError} as `open`.
 */
export async function safeOpen(name: string, options: OpenModelOptions = {}): Promise<SafeFile> {
  const model = await openModel(name, options);
  try {
    return new SafeFile(model, await metadataOf(model));
  } catch (error) {
    await model.close();
    throw error;
  }
}

/** What ends a read. */
export interface ReadOptions {
  /** Ends it with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Tensors by name, as `safe_open` of Python's safetensors. */
export class SafeFile implements Closable {
  readonly #model: Model;
  readonly #metadata: Readonly<Record<string, string>> | undefined;
  readonly #tensors: ReadonlyMap<string, Tensor>;
  #closed = false;

  /** Takes the model over. @internal */
  constructor(model: Model, metadata?: Readonly<Record<string, string>>) {
    this.#model = model;
    this.#metadata = metadata;
    this.#tensors = new Map(model.tensors.map((tensor) => [tensor.name, tensor]));
  }

  /** Returns the names of all tensors, sorted. @throws {InputError} when it is closed. */
  keys(): string[] {
    return this.offsetKeys().sort();
  }

  /** Returns the names of all tensors in the order of their bytes. @throws {InputError} when it is closed. */
  offsetKeys(): string[] {
    return [...this.#open().#tensors.keys()];
  }

  /**
   * Returns `__metadata__` of the safetensors file, of several files together; undefined where there is none. A `.wpk` has that of the
   * files that it was made of. @throws {InputError} when it is closed.
   */
  metadata(): Readonly<Record<string, string>> | undefined {
    return this.#open().#metadata;
  }

  /** Reads a whole tensor. @throws {InputError} when there is none of that name, its bytes do not decode, or the file is closed. */
  async getTensor(name: string, options: ReadOptions = {}): Promise<SafeTensor> {
    return this.getSlice(name, options).get();
  }

  /** Returns what reads parts of a tensor. @throws {InputError} when there is none of that name, or the file is closed. */
  getSlice(name: string, { signal }: ReadOptions = {}): SafeSlice {
    const file = this.#model.id;
    const tensor = this.#open().#tensors.get(name);
    if (!tensor) throw new InputError('no such tensor', { file, tensor: name });
    return new SafeSlice(file, tensor, (start, end) => {
      this.#open();
      return tensor.bytes({ start, end, signal });
    });
  }

  /** Frees the file. Calling it again does nothing. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#model.close();
  }

  /** Closes it: what `await using` calls. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #open(): this {
    if (this.#closed) throw new InputError('is closed', { file: this.#model.id });
    return this;
  }
}

/** Reads parts of a tensor; `get_slice` of Python's safetensors. */
export class SafeSlice {
  /** The type of its elements, as safetensors names it. */
  readonly dtype: Dtype;
  /** Elements along each dimension of the whole tensor. */
  readonly shape: readonly number[];

  /** @internal */
  constructor(
    private readonly file: string,
    private readonly tensor: Tensor,
    private readonly read: (start: number, end: number) => Promise<Uint8Array>,
  ) {
    this.dtype = tensor.dtype;
    this.shape = tensor.shape;
  }

  /**
   * Reads a part: `get([0, 16], [8, 24])` is Python's `[0:16, 8:24]`. Only the blocks that hold it are read.
   * @param ranges of the first dimensions; all of the others are taken.
   * @throws {InputError} for a range outside of its dimension, more ranges than dimensions, and bytes that do not decode.
   */
  async get(...ranges: SliceRange[]): Promise<SafeTensor> {
    const slice = sliceOf(this.tensor, ranges, this.file);
    return new SafeTensor(this.file, this.tensor, slice.shape, await readSlice(slice, this.read));
  }
}

/** A tensor, or a part of one, in memory. */
export class SafeTensor {
  /** The type of its elements, as safetensors names it. */
  readonly dtype: Dtype;
  /** Its elements, row-major. F16, BF16, F8 and BOOL are their bits: {@link SafeTensor.floats} makes numbers of the first two. */
  readonly data: ElementArray;

  /** @internal */
  constructor(
    private readonly file: string,
    private readonly tensor: Tensor,
    /** Elements along each dimension; empty for a scalar. */
    readonly shape: readonly number[],
    bytes: Uint8Array,
  ) {
    this.dtype = tensor.dtype;
    this.data = asElements(bytes, tensor.dtype);
  }

  /** Returns the elements as float32, as `Tensor.floats` does; those of F32 share the memory of `data`. @throws {InputError} for elements that are no floats. */
  floats(): Float32Array {
    const { buffer, byteOffset, byteLength } = this.data;
    const widen = widenerOf({ id: this.file }, this.tensor.name, this.dtype);
    return widen(new Uint8Array(buffer, byteOffset, byteLength));
  }
}

/** Returns `__metadata__` of a model's safetensors files together; undefined where none has one. @throws {InputError} */
async function metadataOf(model: Model): Promise<Readonly<Record<string, string>> | undefined> {
  const headers = isStoredModel(model)
    ? model.weightSources.filter(({ storedBytes }) => storedBytes === undefined)
    : await headersIn(model);
  const found = headers
    .map(({ headerBytes, name }) => metadataIn(headerBytes, `${model.id}, ${name}`))
    .filter((metadata) => metadata !== undefined);
  return found.length ? Object.assign(Object.create(null), ...found) : undefined;
}

/** Returns the headers of the safetensors files that a .wpk was made of. @throws {IntegrityError} for damage. */
function headersIn(model: Model) {
  const { container } = model as OpenedWpk;
  const files = container.directory.weightFiles.filter(
    ({ format, isModel, length }) => isModel && format === 'safetensors' && length > 0,
  );
  return Promise.all(
    files.map(async (file) => ({ name: file.name, headerBytes: (await container.header(file))[0]! })),
  );
}
