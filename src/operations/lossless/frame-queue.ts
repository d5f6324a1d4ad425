import { Ordered } from '../../workers/ordered.js';
import type { BlockPool } from '../../wpk/block-pool.js';
import type { FinishedFrame } from '../../wpk/resume.js';
import type { Part, WpkWriter } from '../../wpk/writer.js';

/** Maximum number of blocks in the two digests, besides those in the pool. */
const HASHING = 6;

/** A new frame, or one that an interrupted run already wrote. */
export type Frame = Uint8Array | FinishedFrame;

interface Queued {
  readonly part: Part;
  readonly index: number;
  readonly frame: Frame;
}

/** A queue of pending frames, which are appended to the file in the order in which they were added. */
export class FrameQueue {
  private readonly making: Ordered<Queued>;

  constructor(writer: WpkWriter, pool: BlockPool) {
    this.making = new Ordered(pool.depth + HASHING, async ({ part, index, frame }) => {
      await writer.append(part, index, frame);
      if (frame instanceof Uint8Array) pool.give(frame);
    });
  }

  /** Adds a frame; waits while too many are pending. @throws the error of encoding or writing an earlier one. */
  add(part: Part, index: number, frame: Promise<Frame>): Promise<void> {
    return this.making.add(frame.then((made) => ({ part, index, frame: made })));
  }

  /** Waits until all frames are written. */
  finish(): Promise<void> {
    return this.making.finish();
  }
}
