import { createHash, type Hash } from 'node:crypto';
import { type DecoderSide, LOSSLESS } from '../../codecs/codec.js';
import { type ByteSource, readInto } from '../../core/byte-source.js';
import { IntegrityError } from '../../core/errors.js';
import { SMALL_TENSOR_BYTES } from '../../io/node/sha256.js';
import { readAhead, SMALL_BYTES } from '../../io/read-ahead.js';
import { type Hashing, startDigests } from '../../workers/node/hashing.js';
import { Ordered } from '../../workers/ordered.js';
import type { BlockPool } from '../block-pool.js';
import { bytesOf, type StoredTensorEntry } from '../directory.js';
import { FRAME_HEADER_BYTES } from '../frames.js';
import { type PlannedBlock, planTensor } from '../plan.js';
import { type Container, decodeFrame } from '../reader.js';
import { startBlockPool } from './block-threads.js';

/** Maximum excess of a block's frame over its elements. */
const FRAME_OVERHEAD_BYTES = FRAME_HEADER_BYTES + 48;

/** Maximum number of blocks in the two digests, besides those in the pool. */
const HASHING = 6;

/** Maximum decoded bytes of all pending blocks: those of a wide lossy tensor are tens of MB each. */
const MAX_PENDING_BYTES = 2 ** 26;

/** Returns the maximum number of pending blocks of the size of this one. */
function depthFor(block: PlannedBlock | undefined): number {
  return block ? Math.floor(MAX_PENDING_BYTES / (block.endByte - block.firstByte)) : 0;
}

/** Checks the length of a block's frame. @throws {IntegrityError} when it is longer than its decoded elements can need. */
export function checkFrameLength(
  { start, end, firstByte, endByte }: PlannedBlock,
  { name }: Pick<StoredTensorEntry, 'name'>,
  file: string,
): void {
  if (end - start > endByte - firstByte + FRAME_OVERHEAD_BYTES)
    throw new IntegrityError('a frame is longer than its block can need', { file, tensor: name, start, end });
}

const isSmall = (tensor: StoredTensorEntry) => bytesOf(tensor) <= SMALL_TENSOR_BYTES;

/** A block that is being decoded. */
interface BegunBlock {
  readonly elements: Promise<Uint8Array>;
}

/** The first blocks of the tensor that comes next. */
interface Ahead {
  readonly tensor: StoredTensorEntry;
  readonly blocks: BegunBlock[];
}

/** Receives a block's elements; they are valid only until it resolves. */
export type Take = (elements: Uint8Array, firstByte: number) => Promise<void> | void;

/**
 * Decodes a file's tensors on threads, and computes the SHA-256 of each weight file and, on demand, of each tensor. With 0 threads everything runs on the calling thread, which is faster for small files.
 */
export class Decoding {
  private readonly pool: BlockPool;
  private readonly tensorHash: Hashing;
  private readonly fileHash: Hashing;

  /** Reads ahead: frames of small tensors are read together. */
  private readonly source: ByteSource;

  /** The tensors of the file that is being restored, from which blocks are begun ahead. */
  private order: readonly StoredTensorEntry[] = [];
  private position = 0;
  private ahead: Ahead | undefined;

  constructor(
    private readonly container: Container,
    private readonly threads?: number,
  ) {
    this.pool = startBlockPool(threads);
    this.source = readAhead(container.source);
    ({ tensorHash: this.tensorHash, fileHash: this.fileHash } = startDigests(threads));
  }

  /**
   * Decodes a tensor and passes its elements to `take`, block by block, in order, each verified.
   * @returns their SHA-256. @throws {IntegrityError} naming the tensor and the problem.
   */
  tensor(tensor: StoredTensorEntry, take: Take): Promise<string> {
    return this.container.base.explained(tensor, this.digested(tensor, take));
  }

  /** Does the same as {@link tensor} without its SHA-256, for a file whose own is checked. */
  elements(tensor: StoredTensorEntry, take: Take): Promise<void> {
    const decoding = isSmall(tensor) ? this.smallTensor(tensor, take) : this.decode(tensor, take);
    return this.container.base.explained(tensor, decoding);
  }

  private async digested(tensor: StoredTensorEntry, take: Take): Promise<string> {
    if (isSmall(tensor)) {
      const hash = createHash('sha256');
      await this.smallTensor(tensor, take, hash);
      return hash.digest('hex');
    }
    try {
      await this.decode(tensor, take, this.tensorHash);
    } catch (error) {
      await this.tensorHash.digest(); // resets the digest for the next tensor
      throw error;
    }
    return this.tensorHash.digest();
  }

  /** Decodes a small tensor on the calling thread: one block, none, or a few blocks of a lossy codec. */
  private async smallTensor(tensor: StoredTensorEntry, take: Take, hash?: Hash): Promise<void> {
    const { container } = this;
    const side = await container.readSide(tensor);
    for (const planned of planTensor(tensor)) {
      checkFrameLength(planned, tensor, container.source.name);
      const frame = await this.source.read(planned.start, planned.end);
      const own = await container.base.side(tensor, planned, side);
      const elements = decodeFrame(frame, planned, tensor, own, container.source.name).slice();
      hash?.update(elements);
      await take(await this.fileHash.update(elements), planned.firstByte);
    }
  }

  /** Does the same as {@link tensor}. @throws {IntegrityError} also when the SHA-256 differs from the directory's. */
  async checkedTensor(tensor: StoredTensorEntry, take: Take): Promise<void> {
    const digest = await this.tensor(tensor, take);
    if (digest !== tensor.sha256)
      throw new IntegrityError(`SHA-256 of the elements is ${digest}, expected ${tensor.sha256}`, {
        file: this.container.source.name,
        tensor: tensor.name,
      });
  }

  /**
   * Restores a weight file in order: passes the bytes outside of tensors (`between`, from {@link Container.header}) to `take`, and
   * each tensor to `decode`, which calls {@link tensor}. @returns the file's SHA-256.
   */
  async weightFile(
    between: readonly Uint8Array[],
    tensors: readonly StoredTensorEntry[],
    decode: (tensor: StoredTensorEntry) => Promise<void>,
    take: (bytes: Uint8Array) => Promise<void> = async () => {},
  ): Promise<string> {
    [this.order, this.position] = [tensors, 0];
    for (const [i, bytes] of between.entries()) {
      if (bytes.length) await take(await this.fileHash.update(bytes));
      if (i < tensors.length) await decode(tensors[i]!);
    }
    return this.fileHash.digest();
  }

  async close(): Promise<void> {
    await Promise.all([this.pool.close(), this.tensorHash.close(), this.fileHash.close()]);
  }

  private async decode(tensor: StoredTensorEntry, take: Take, tensorHash?: Hashing): Promise<void> {
    const { container, pool, fileHash } = this;
    const blocks = planTensor(tensor);
    const most = depthFor(blocks[0]);
    const taking = new Ordered<{ elements: Uint8Array; firstByte: number }>(
      Math.min(HASHING, most),
      async ({ elements, firstByte }) => {
        await take(elements, firstByte);
        pool.give(elements);
      },
    );
    const decoding = new Ordered<{ elements: Uint8Array; firstByte: number }>(
      Math.min(pool.depth, most),
      ({ elements, firstByte }) => {
        const hashed = Promise.all([tensorHash?.update(elements), fileHash.update(elements)]);
        return taking.add(hashed.then(() => ({ elements, firstByte })));
      },
    );
    const side = await container.readSide(tensor);
    const begun = this.begunOf(tensor);
    for (const [i, planned] of blocks.entries()) {
      const decoded = begun[i] ?? (await this.begin(tensor, planned, side));
      await decoding.add(decoded.elements.then((elements) => ({ elements, firstByte: planned.firstByte })));
    }
    const next = this.beginAhead(tensor);
    await decoding.finish();
    await taking.finish();
    await next;
  }

  /** Reads a block's frame, unless a thread does, and begins to decode it. */
  private async begin(
    tensor: StoredTensorEntry,
    planned: PlannedBlock,
    side: DecoderSide,
  ): Promise<BegunBlock> {
    const { container, pool, source } = this;
    const { start, end, firstByte, endByte } = planned;
    const file = container.source.name;
    checkFrameLength(planned, tensor, file);
    const bytes = pool.take(end - start, endByte - firstByte);
    const descriptor = end - start > SMALL_BYTES ? source.descriptor : undefined;
    if (descriptor === undefined) await readInto(source, bytes, start);
    const { name, codec } = tensor;
    const basePlace = codec === LOSSLESS ? await container.base.place(tensor, planned) : undefined;
    const own = basePlace ? side : await container.base.side(tensor, planned, side);
    const job = { bytes, planned, tensor: { name, codec }, side: own, file, descriptor, basePlace };
    return { elements: pool.run('decode', job) };
  }

  /** Begins the first blocks of the next large tensor, so that no thread waits while the last blocks of this one are taken. */
  private async beginAhead(tensor: StoredTensorEntry): Promise<void> {
    const next = this.threads === 0 ? undefined : this.largeAfter(tensor);
    if (!next) return;
    const ahead: Ahead = { tensor: next, blocks: [] };
    this.ahead = ahead;
    const blocks = planTensor(next);
    const most = Math.min(this.pool.depth, Math.floor(depthFor(blocks[0]) / 4));
    try {
      const side = await this.container.readSide(next);
      for (const planned of blocks.slice(0, most)) {
        const begun = await this.begin(next, planned, side);
        begun.elements.catch(() => {}); // awaited later
        ahead.blocks.push(begun);
      }
    } catch {
      // it fails again when that tensor is decoded, which says so
    }
  }

  /** Returns the next large tensor of the file; tensors are asked for in its order. */
  private largeAfter(tensor: StoredTensorEntry): StoredTensorEntry | undefined {
    const { order } = this;
    while (this.position < order.length && order[this.position] !== tensor) this.position++;
    for (let i = this.position + 1; i < order.length; i++) if (!isSmall(order[i]!)) return order[i];
    return undefined;
  }

  /** Returns the blocks of a tensor that were begun ahead; those of another are dropped. */
  private begunOf(tensor: StoredTensorEntry): readonly BegunBlock[] {
    const { ahead } = this;
    this.ahead = undefined;
    if (ahead?.tensor === tensor) return ahead.blocks;
    for (const { elements } of ahead?.blocks ?? [])
      elements.then(
        (bytes) => this.pool.give(bytes),
        () => {},
      );
    return [];
  }
}
