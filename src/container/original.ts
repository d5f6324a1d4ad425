import { DTYPE_BYTES, elementCount } from '../formats/dtype.js';
import { openGguf } from '../formats/gguf/model.js';
import type { Model } from '../formats/model.js';
import { type ByteSource, checkRange } from '../io/source.js';
import { BLOCK_BYTES } from '../kernels/lossless.js';
import { WpkModel } from './model.js';
import type { Container } from './reader.js';

/** A model in a .wpk file, whatever form its files had. */
export interface OpenedWpk extends Model {
  readonly kind: 'wpk';
  readonly container: Container;
}

/**
 * Opens a .wpk as the model that is in it: of one that holds a GGUF file as it was, what that file is read as.
 * @throws {InputError} as {@link Container.open}; the source is closed then.
 */
export async function openWpk(source: ByteSource, signal?: AbortSignal): Promise<OpenedWpk> {
  const model = await WpkModel.open(source, signal);
  const [file, ...others] = model.container.directory.weightFiles;
  if (!file?.between || others.length) return model;
  const { config, tensors, sideFiles, ...inner } = await openGguf(
    model.id,
    await originalFile(model, signal),
  ).then((gguf) => ({
    config: gguf.config,
    tensors: gguf.tensors,
    sideFiles: gguf.sideFiles,
    readTensor: gguf.readTensor.bind(gguf),
    close: gguf.close.bind(gguf),
  }));
  const { id, kind, container, weightFiles } = model;
  const asStored = async () => model;
  const verify = () => model.verify();
  return { id, kind, container, weightFiles, config, tensors, sideFiles, asStored, verify, ...inner };
}

/** A stretch of the original file: bytes at hand, or a tensor. */
interface Part {
  readonly start: number;
  readonly end: number;
  readonly bytes?: Uint8Array;
  readonly tensor?: string;
}

/**
 * The only weight file of a .wpk as the bytes it was, decoded by the block as they are asked for.
 * @throws {IntegrityError}
 */
export async function originalFile(model: WpkModel, signal?: AbortSignal): Promise<ByteSource> {
  const { directory } = model.container;
  const between = await model.container.header(directory.weightFiles[0]!, signal);
  const parts: Part[] = [];
  let next = 0;
  const add = (length: number, part: Pick<Part, 'bytes' | 'tensor'>) => {
    if (length) parts.push({ start: next, end: next + length, ...part });
    next += length;
  };
  for (const [i, bytes] of between.entries()) {
    add(bytes.length, { bytes });
    const tensor = directory.tensors[i];
    if (tensor) add(elementCount(tensor.shape) * DTYPE_BYTES[tensor.dtype], { tensor: tensor.name });
  }
  return new OriginalFile(model, parts, next);
}

class OriginalFile implements ByteSource {
  /** The block that was decoded last: reads are often of parts of one, in order. */
  private last: { readonly part: Part; readonly first: number; readonly bytes: Uint8Array } | undefined;

  constructor(
    private readonly model: WpkModel,
    private readonly parts: readonly Part[],
    readonly byteLength: number,
  ) {}

  get name(): string {
    return this.model.id;
  }

  async read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
    checkRange(this, start, end);
    const bytes = new Uint8Array(end - start);
    for (let i = this.indexOf(start); i < this.parts.length && this.parts[i]!.start < end; i++) {
      const part = this.parts[i]!;
      const [from, to] = [Math.max(start, part.start), Math.min(end, part.end)];
      await this.readPart(part, from - part.start, bytes.subarray(from - start, to - start), signal);
    }
    return bytes;
  }

  close(): Promise<void> {
    return this.model.close();
  }

  /** Of the part that byte `at` is in. */
  private indexOf(at: number): number {
    let [low, high] = [0, this.parts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.parts[middle]!.end <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private async readPart(part: Part, from: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (part.bytes) return target.set(part.bytes.subarray(from, from + target.length));
    for (let at = from; at < from + target.length; ) {
      const first = at - (at % BLOCK_BYTES);
      const block = await this.block(part, first, signal);
      const piece = block.subarray(at - first, from + target.length - first);
      target.set(piece, at - from);
      at += piece.length;
    }
  }

  private async block(part: Part, first: number, signal?: AbortSignal): Promise<Uint8Array> {
    if (this.last?.part !== part || this.last.first !== first) {
      const end = Math.min(part.end - part.start, first + BLOCK_BYTES);
      const bytes = await this.model.readTensor(part.tensor!, first, end, signal);
      this.last = { part, first, bytes };
    }
    return this.last.bytes;
  }
}
