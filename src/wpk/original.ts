import { type ByteSource, checkRange } from '../core/byte-source.js';
import { IntegrityError, isInputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import { BlobSource } from '../io/blob.js';
import type { FindBase } from './base.js';
import { bytesOf, type StoredTensorEntry, type StoredWeightFile, tensorsByFile } from './directory.js';
import { readElements } from './elements.js';
import { WpkModel } from './model.js';
import type { Container } from './reader.js';

/** A model in a .wpk file, whatever the format of its original files. */
export interface OpenedWpk extends Model {
  readonly kind: 'wpk';
  /** The open .wpk file. @internal */
  readonly container: Container;
}

/**
 * Opens a .wpk as a model. If the model was one GGUF or ONNX file, that file is decoded and opened as such.
 * @param findBase opens the base of a file that has one, when it is first needed.
 * @throws {InputError} like {@link Container.open}; the source is then closed.
 */
export async function openWpk(
  source: ByteSource,
  signal?: AbortSignal,
  findBase?: FindBase,
): Promise<OpenedWpk> {
  const model = withModules(await WpkModel.open(source, signal, findBase), signal);
  const [file, ...others] = model.container.directory.weightFiles.filter(({ isModel }) => isModel);
  const isOnnx = file !== undefined && [file, ...others].every(({ format }) => ONNX_FORMATS.has(format));
  if (!isOnnx && (file?.format !== 'gguf' || others.length)) return model;
  try {
    const inner = isOnnx ? await openOnnx(model, signal) : await openGguf(model, file!, signal);
    return inner ? withContainer(model, inner) : model;
  } catch (error) {
    await model.close();
    throw error;
  }
}

/** Formats of an ONNX model's files. */
const ONNX_FORMATS: ReadonlySet<string> = new Set(['onnx', 'onnx-data']);

async function openGguf({ id, container }: WpkModel, file: StoredWeightFile, signal?: AbortSignal) {
  const reader = await import('../models/gguf/model.js'); // imported on demand: pages fetch it only if needed
  return reader.openGguf(id, await originalFile(container, file, signal));
}

/**
 * Opens the ONNX file of a .wpk with its external data, which may be stored as side files. Returns undefined for several such files, and for one that
 * is no sound model without files that the .wpk does not have: its stored tensors can be read.
 */
async function openOnnx(model: WpkModel, signal?: AbortSignal): Promise<Model | undefined> {
  const { id, container, config, configError, sideFiles } = model;
  const { weightFiles } = container.directory;
  const [file, another] = weightFiles.filter(({ format, isModel }) => isModel && format === 'onnx');
  if (!file || another) return undefined;
  const reader = await import('../models/onnx/model.js');
  const source = await originalFile(container, file, signal);
  try {
    return await reader.openOnnx(id, source, {
      name: file.name,
      about: { config, configError, sideFiles },
      beside: (name) => openStoredFile(container, name),
    });
  } catch (error) {
    if (!isInputError(error) || error instanceof IntegrityError) throw error;
    return undefined;
  }
}

/**
 * Adds the weights of an embedding model's modules (sentence-transformers) to its side files, as in a folder: a lossless file stores them
 * as tensors, but not of the model.
 */
function withModules(model: WpkModel, signal?: AbortSignal): WpkModel {
  const { container, sideFiles } = model;
  if (!sideFiles.some(({ name }) => name === 'modules.json')) return model;
  const weights = container.directory.weightFiles
    .filter(({ isModel, name }) => !isModel && MODULE_WEIGHTS.test(name))
    .map((file) => ({
      name: file.name,
      lengthBytes: file.length,
      read: async () => {
        const source = await originalFile(container, file, signal);
        return source.read(0, source.byteLength);
      },
    }));
  return Object.assign(model, { sideFiles: [...sideFiles, ...weights] });
}

/** Weights of a module, in its own folder. */
const MODULE_WEIGHTS = /^[^/]+\/(model\.safetensors|pytorch_model\.bin)$/;

/** Combines a .wpk with the model that its decoded files are read as. */
export function withContainer({ id, container, weightFiles }: WpkModel, inner: Model): OpenedWpk {
  const close = async () => {
    await inner.close();
    await container.close();
  };
  return {
    id,
    kind: 'wpk',
    container,
    weightFiles,
    config: inner.config,
    configError: inner.configError,
    state: inner.state,
    notRun: inner.notRun,
    tensors: inner.tensors,
    sideFiles: inner.sideFiles,
    readTensor: inner.readTensor.bind(inner),
    verify: async () => container.source.verify?.(),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Opens any file of a .wpk, decoded when it is read; undefined where there is none of that name. @throws {IntegrityError} */
export async function openStoredFile(container: Container, name: string): Promise<ByteSource | undefined> {
  const { sideFiles, weightFiles } = container.directory;
  const weights = weightFiles.find((file) => file.name === name);
  if (weights) return originalFile(container, weights);
  const side = sideFiles.find((file) => file.name === name);
  if (!side) return undefined;
  const bytes = (await container.readFile(side)) as Uint8Array<ArrayBuffer>;
  return new BlobSource(new Blob([bytes]), `${container.source.name}, ${name}`);
}

/** A range of the original file: bytes in memory, or a tensor. */
export interface FilePart {
  readonly start: number;
  readonly end: number;
  readonly bytes?: Uint8Array;
  readonly tensor?: StoredTensorEntry;
}

/**
 * Opens a weight file of a .wpk as the original bytes, decoded block by block when they are read. Closing it does not close the container.
 * @throws {IntegrityError} when the file's header is damaged.
 */
export async function originalFile(
  container: Container,
  file: StoredWeightFile,
  signal?: AbortSignal,
): Promise<ByteSource> {
  return new OriginalFile(container, file, await partsOf(container, file, signal));
}

/** Returns the parts of a weight file of a .wpk, in order, none of them empty. @throws {IntegrityError} when the file's header is damaged. */
export async function partsOf(
  container: Container,
  file: StoredWeightFile,
  signal?: AbortSignal,
): Promise<FilePart[]> {
  const between = await container.header(file, signal);
  const { tensors } = tensorsByFile(container.directory).find((entry) => entry.file === file)!;
  const parts: FilePart[] = [];
  let next = 0;
  const add = (length: number, part: Pick<FilePart, 'bytes' | 'tensor'>) => {
    if (length) parts.push({ start: next, end: next + length, ...part });
    next += length;
  };
  for (const [i, bytes] of between.entries()) {
    add(bytes.length, { bytes });
    const tensor = tensors[i];
    if (tensor) add(bytesOf(tensor), { tensor });
  }
  return parts;
}

/** Returns the index of the range that contains `at`; the number of ranges for an offset behind the last. @param endOf returns the end of a range, exclusive. */
export function indexAt<Range>(
  ranges: readonly Range[],
  at: number,
  endOf: (range: Range) => number,
): number {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (endOf(ranges[middle]!) <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}

class OriginalFile implements ByteSource {
  readonly name: string;
  readonly byteLength: number;

  constructor(
    private readonly container: Container,
    { name, length }: StoredWeightFile,
    private readonly parts: readonly FilePart[],
  ) {
    this.name = `${container.source.name}, ${name}`;
    this.byteLength = length;
  }

  async read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
    checkRange(this, start, end);
    const bytes = new Uint8Array(end - start);
    for (
      let i = indexAt(this.parts, start, (part) => part.end);
      i < this.parts.length && this.parts[i]!.start < end;
      i++
    ) {
      const part = this.parts[i]!;
      const [from, to] = [Math.max(start, part.start), Math.min(end, part.end)];
      await this.readPart(part, from - part.start, bytes.subarray(from - start, to - start), signal);
    }
    return bytes;
  }

  async close(): Promise<void> {}

  private async readPart(
    { bytes, tensor }: FilePart,
    from: number,
    target: Uint8Array,
    signal?: AbortSignal,
  ): Promise<void> {
    const end = from + target.length;
    target.set(
      bytes?.subarray(from, end) ?? (await readElements(this.container, tensor!, from, end, signal)),
    );
  }
}
