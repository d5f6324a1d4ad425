import { type Block, encodeBlock } from '../codec/lossless/block.js';
import type { StoredTensorEntry } from '../container/directory.js';
import { FRAME, frame } from '../container/frames.js';
import type { PlannedBlock } from '../container/plan.js';
import { decodeFrame } from '../container/reader.js';
import { losslessKernels } from '../kernels/lossless.js';

/** Work on one block that any thread can do: bytes in, bytes out, nothing else. */
export interface Jobs {
  /** A block's elements to its whole frame. */
  encode: { readonly bytes: Uint8Array; readonly block: Block };
  /** A block's frame to its elements, verified. */
  decode: {
    readonly bytes: Uint8Array;
    readonly planned: PlannedBlock;
    readonly tensor: Pick<StoredTensorEntry, 'name' | 'codec'>;
    readonly file: string;
  };
}

export type JobKind = keyof Jobs;

const RUN: { readonly [Kind in JobKind]: (job: Jobs[Kind]) => Uint8Array } = {
  encode: ({ bytes, block }) => frame(FRAME.block, encodeBlock(losslessKernels(), bytes, block)),
  decode: ({ bytes, planned, tensor, file }) => decodeFrame(bytes, planned, tensor, file).slice(),
};

/** Runs a job on the calling thread. @returns bytes of their own memory. */
export function runJob<Kind extends JobKind>(kind: Kind, job: Jobs[Kind]): Uint8Array {
  return RUN[kind](job);
}
