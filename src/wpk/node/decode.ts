import { createHash } from 'node:crypto';
import { type ByteSource, readInto } from '../../core/byte-source.js';
import { IntegrityError } from '../../core/errors.js';
import { SMALL_TENSOR_BYTES } from '../../io/node/sha256.js';
import { readAhead } from '../../io/read-ahead.js';
import { Hashing } from '../../workers/node/hashing.js';
import { Ordered } from '../../workers/ordered.js';
import type { BlockPool } from '../block-pool.js';
import { bytesOf, type StoredTensorEntry } from '../directory.js';
import { FRAME_HEADER_BYTES } from '../frames.js';
import { type PlannedBlock, planTensor } from '../plan.js';
import { type Container, decodeFrame } from '../reader.js';
import { startBlockPool } from './block-threads.js';

/** What a block's frame may be longer than its elements. */
const FRAME_OVERHEAD_BYTES = FRAME_HEADER_BYTES + 48;

/** Blocks that may be under way in the two digests, beside those in the pool. */
const HASHING = 6;

/** What blocks under way may decode to, together: those of a wide lossy tensor are tens of MB each. */
const UNDER_WAY_BYTES = 2 ** 26;

/** Blocks as large as this one that may be under way. */
function depthFor(block: PlannedBlock | undefined): number {
  return block ? Math.floor(UNDER_WAY_BYTES / (block.endByte - block.firstByte)) : 0;
}

/** Takes a block's elements, which are only lent until it is done. */
export type Take = (elements: Uint8Array, firstByte: number) => Promise<void> | void;

/**
 * Decodes a file's tensors on threads, and takes the SHA-256 of each tensor and of each weight file on the way, on two
 * threads more: on the main thread they would be what decompression waits for. With 0 threads all is done on the calling one, which is
 * faster for what is small.
 */
export class Decoding {
  private readonly pool: BlockPool;
  private readonly tensorHash: Hashing;
  private readonly fileHash: Hashing;

  /** Frames of small tensors are read together. */
  private readonly source: ByteSource;

  constructor(
    private readonly container: Container,
    threads?: number,
  ) {
    this.pool = startBlockPool(threads);
    this.source = readAhead(container.source);
    [this.tensorHash, this.fileHash] = [new Hashing(threads), new Hashing(threads)];
  }

  /**
   * Hands over the elements of a tensor block by block, in order, each verified.
   * @returns their SHA-256. @throws {IntegrityError} naming the tensor and what is wrong.
   */
  async tensor(tensor: StoredTensorEntry, take: Take): Promise<string> {
    if (bytesOf(tensor) <= SMALL_TENSOR_BYTES) return this.smallTensor(tensor, take);
    try {
      await this.decode(tensor, take);
    } catch (error) {
      await this.tensorHash.digest(); // the next tensor's must begin anew
      throw error;
    }
    return this.tensorHash.digest();
  }

  /** A tensor of one block, or none, or of few that a lossy codec has. */
  private async smallTensor(tensor: StoredTensorEntry, take: Take): Promise<string> {
    const { container } = this;
    const hash = createHash('sha256');
    const side = await container.readSide(tensor);
    for (const planned of planTensor(tensor)) {
      this.checkLength(planned, tensor);
      const frame = await this.source.read(planned.start, planned.end);
      const elements = decodeFrame(frame, planned, tensor, side, container.source.name).slice();
      hash.update(elements);
      await take(await this.fileHash.update(elements), planned.firstByte);
    }
    return hash.digest('hex');
  }

  /** As {@link tensor}. @throws {IntegrityError} also when the SHA-256 is not the one in the directory. */
  async checkedTensor(tensor: StoredTensorEntry, take: Take): Promise<void> {
    const digest = await this.tensor(tensor, take);
    if (digest !== tensor.sha256)
      throw new IntegrityError(`SHA-256 of the elements is ${digest}, expected ${tensor.sha256}`, {
        file: this.container.source.name,
        tensor: tensor.name,
      });
  }

  /**
   * A weight file from front to back: what no tensor holds, cut as {@link Container.header} has it, goes to `take`, the tensors to
   * `decode`, which has them decoded here. @returns its SHA-256.
   */
  async weightFile<Tensor>(
    between: readonly Uint8Array[],
    tensors: readonly Tensor[],
    decode: (tensor: Tensor) => Promise<void>,
    take: (bytes: Uint8Array) => Promise<void> = async () => {},
  ): Promise<string> {
    for (const [i, bytes] of between.entries()) {
      if (bytes.length) await take(await this.fileHash.update(bytes));
      if (i < tensors.length) await decode(tensors[i]!);
    }
    return this.fileHash.digest();
  }

  async close(): Promise<void> {
    await Promise.all([this.pool.close(), this.tensorHash.close(), this.fileHash.close()]);
  }

  /** @throws {IntegrityError} for a frame that is longer than what it decodes to can need. */
  private checkLength({ start, end, firstByte, endByte }: PlannedBlock, { name }: StoredTensorEntry): void {
    if (end - start > endByte - firstByte + FRAME_OVERHEAD_BYTES)
      throw new IntegrityError('a frame longer than any block can need', {
        file: this.container.source.name,
        tensor: name,
        start,
        end,
      });
  }

  private async decode(tensor: StoredTensorEntry, take: Take): Promise<void> {
    const { container, pool, tensorHash, fileHash } = this;
    const file = container.source.name;
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
        const hashed = tensorHash.update(elements).then((same) => fileHash.update(same));
        return taking.add(hashed.then((same) => ({ elements: same, firstByte })));
      },
    );
    const { name, codec } = tensor;
    const side = await container.readSide(tensor);
    for (const planned of blocks) {
      const { start, end, firstByte, endByte } = planned;
      this.checkLength(planned, tensor);
      const bytes = pool.take(end - start, endByte - firstByte);
      await readInto(this.source, bytes, start);
      const decoded = pool.run('decode', { bytes, planned, tensor: { name, codec }, side, file });
      await decoding.add(decoded.then((elements) => ({ elements, firstByte })));
    }
    await decoding.finish();
    await taking.finish();
  }
}
