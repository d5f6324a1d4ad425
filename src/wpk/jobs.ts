import { BLOCK_BYTES, type Block, encodeBlockInto } from '../codecs/lossless/block.js';
import { losslessKernels } from '../wasm/lossless.js';
import type { StoredTensorEntry } from './directory.js';
import { deflate, FRAME, FRAME_HEADER_BYTES, writeFrameHeader } from './frames.js';
import type { PlannedBlock } from './plan.js';
import { type DecoderSide, decodeFrame } from './reader.js';

/** What a job's result may be longer than what it is made of: frames, and 5 bytes in 64 kB of what does not deflate. */
export const RESULT_ROOM_BYTES = 256;

/** Room for a lossless block's elements or its frame, or a deflated piece. */
export const BUFFER_BYTES = BLOCK_BYTES + RESULT_ROOM_BYTES;

/**
 * Work on one block that any thread can do. Its `bytes` lie at the front of a buffer with room for the result, which takes
 * their place, so that the same memory goes round between the threads.
 */
export interface Jobs {
  /** A block's elements to its whole frame. */
  encode: { readonly bytes: Uint8Array; readonly block: Block };
  /** A piece of a side file to its whole frame. */
  deflate: { readonly bytes: Uint8Array };
  /** A block's frame to its elements, verified. */
  decode: {
    readonly bytes: Uint8Array;
    readonly planned: PlannedBlock;
    readonly tensor: Pick<StoredTensorEntry, 'name' | 'codec'>;
    readonly side: DecoderSide;
    readonly file: string;
  };
}

export type JobKind = keyof Jobs;

const RUN: { readonly [Kind in JobKind]: (job: Jobs[Kind], buffer: Uint8Array) => number } = {
  encode: ({ bytes, block }, buffer) => {
    const length = encodeBlockInto(losslessKernels(), bytes, block, buffer.subarray(FRAME_HEADER_BYTES));
    writeFrameHeader(FRAME.block, buffer.subarray(0, FRAME_HEADER_BYTES + length));
    return FRAME_HEADER_BYTES + length;
  },
  deflate: ({ bytes }, buffer) => {
    const deflated = deflate(bytes);
    buffer.set(deflated, FRAME_HEADER_BYTES);
    writeFrameHeader(FRAME.sideFile, buffer.subarray(0, FRAME_HEADER_BYTES + deflated.length));
    return FRAME_HEADER_BYTES + deflated.length;
  },
  decode: ({ bytes, planned, tensor, side, file }, buffer) => {
    const elements = decodeFrame(bytes, planned, tensor, side, file);
    buffer.set(elements);
    return elements.length;
  },
};

/** Runs a job on the calling thread. @returns the result, at the front of the job's buffer. */
export function runJob<Kind extends JobKind>(kind: Kind, job: Jobs[Kind]): Uint8Array {
  const buffer = new Uint8Array(job.bytes.buffer);
  return buffer.subarray(0, RUN[kind](job, buffer));
}
