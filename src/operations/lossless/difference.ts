import { createHash, type Hash } from 'node:crypto';
import { type Block, needsBase } from '../../codecs/lossless/block.js';
import { DTYPE_BYTES } from '../../core/dtype.js';
import type { TensorInfo } from '../../core/model.js';
import type { Base, TensorBase } from '../../wpk/base.js';
import { FRAME_HEADER_BYTES } from '../../wpk/frames.js';

type Stored = Pick<TensorInfo, 'name' | 'dtype' | 'shape'>;

/** The base's tensor that a tensor may be stored as a difference from. Blocks that are shorter without it do not need it. */
export class Difference {
  /** Undefined if the base's file says the digest. */
  private readonly hash: Hash | undefined;
  private readonly known: string | undefined;
  private isUsed = false;

  private constructor(
    private readonly base: Base,
    private readonly tensor: Stored,
    private readonly name: string,
  ) {
    this.known = base.knownDigest(name, tensor);
    this.hash = this.known === undefined ? createHash('sha256') : undefined;
  }

  /** Returns the difference of a tensor that the base has too; undefined for others. */
  static of(base: Base, tensor: Stored): Difference | undefined {
    const found = base.match(tensor);
    return found && new Difference(base, tensor, found.name);
  }

  /** Reads the base's elements of the next block. */
  async read({ first, count }: Block): Promise<Uint8Array> {
    const width = DTYPE_BYTES[this.tensor.dtype];
    const bytes = await this.base.read(this.name, this.tensor, first * width, (first + count) * width);
    this.hash?.update(bytes);
    return bytes;
  }

  /** Notes whether the frame of a block needs the base. */
  note(frame: Uint8Array): void {
    this.isUsed ||= needsBase(frame.subarray(FRAME_HEADER_BYTES));
  }

  /** Returns what the directory says, once all blocks are encoded; undefined if none needs the base. */
  finish(): TensorBase | undefined {
    return this.isUsed ? { name: this.name, sha256: this.known ?? this.hash!.digest('hex') } : undefined;
  }
}
