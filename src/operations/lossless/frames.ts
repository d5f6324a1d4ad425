import type { Block } from '../../codecs/lossless/block.js';
import { equal } from '../../codecs/lossless/patterns.js';
import { InputError } from '../../core/errors.js';
import { checksum } from '../../wasm/lossless.js';
import type { BlockPool } from '../../wpk/block-pool.js';
import { deflate, FRAME, FRAME_HEADER_BYTES, frame } from '../../wpk/frames.js';
import type { FinishedFrame } from '../../wpk/resume.js';
import type { Frame } from './frame-queue.js';

/**
 * Makes the frames of a lossless file. Calls are in the order of the file. Frames that an interrupted run already wrote are compared
 * with the input and reused.
 */
export class FrameMaker {
  private next = 0;

  /** @param finished frames of an interrupted run. @param id of the input, for errors. */
  constructor(
    private readonly pool: BlockPool,
    private readonly finished: readonly FinishedFrame[],
    private readonly id: string,
  ) {}

  /** Makes the frame of a piece of a side file, in the piece's own buffer. @throws {InputError} when it has changed. */
  async piece(bytes: Uint8Array): Promise<Frame> {
    const finished = this.take();
    const whole = await this.pool.run('deflate', { bytes });
    if (!finished) return whole;
    this.compareHeaders(finished, whole);
    this.pool.give(whole);
    return finished;
  }

  /** Makes the frame of a piece of a weight header. @throws {InputError} when it has changed. */
  header(bytes: Uint8Array): Frame {
    const finished = this.take();
    const whole = frame(FRAME.weightHeader, deflate(bytes));
    if (finished) this.compareHeaders(finished, whole);
    return finished ?? whole;
  }

  /**
   * Makes the frame of a block's elements, in the elements' own buffer. @param made the frame, if it was made elsewhere.
   * @throws {InputError} when they have changed.
   */
  async block(elements: Promise<Uint8Array>, block: Block, made?: Promise<Uint8Array>): Promise<Frame> {
    made?.catch(() => {}); // awaited later
    const finished = this.take();
    const bytes = await elements;
    if (!finished) return made ? this.copy(bytes, await made) : this.pool.run('encode', { bytes, block });
    if (finished.digest !== checksum(bytes)) throw this.changed();
    this.pool.give(bytes);
    return finished;
  }

  /**
   * Makes the frame of a block's elements given those of the base. It is made again if an interrupted run wrote it, because that may have had
   * another base. @param note is called with the frame. @throws {InputError} when it has changed.
   */
  async difference(
    elements: Promise<Uint8Array>,
    block: Block,
    base: Uint8Array,
    note: (frame: Uint8Array) => void,
  ): Promise<Frame> {
    const finished = this.take();
    const whole = await this.pool.run('encode', { bytes: await elements, block, base });
    note(whole);
    if (!finished) return whole;
    this.compareHeaders(finished, whole);
    this.pool.give(whole);
    return finished;
  }

  /** Returns a frame that was made elsewhere in a buffer of the pool. */
  private copy(elements: Uint8Array, made: Uint8Array): Uint8Array {
    this.pool.give(elements);
    const own = this.pool.take(made.length);
    own.set(made);
    return own;
  }

  private take(): FinishedFrame | undefined {
    return this.finished[this.next++];
  }

  private compareHeaders(finished: FinishedFrame, whole: Uint8Array): void {
    if (!equal(finished.header, whole.subarray(0, FRAME_HEADER_BYTES))) throw this.changed();
  }

  private changed(): InputError {
    return new InputError(
      'has changed since the interrupted run',
      { file: this.id },
      { code: 'resume-differs' },
    );
  }
}
