import type { DecoderSide } from '../codecs/codec.js';
import { BLOCK_BYTES, type Block, encodeBlockInto } from '../codecs/lossless/block.js';
import { losslessKernels } from '../wasm/lossless.js';
import type { StoredTensorEntry } from './directory.js';
import { deflate, FRAME, FRAME_HEADER_BYTES, type FrameType, writeFrameHeader } from './frames.js';
import type { PlannedBlock } from './plan.js';
import { decodeFrame } from './reader.js';

/** Maximum growth of a job's bytes: the frame header, and 5 bytes per 64 kB of incompressible data. */
const RESULT_ROOM_BYTES = 256;

/** Buffer size for a lossless block's elements or frame, or a deflated piece. */
export const BUFFER_BYTES = BLOCK_BYTES + RESULT_ROOM_BYTES;

/** The input of every job: bytes at the start of a buffer with room for the result, which replaces them. */
interface BytesJob {
  readonly bytes: Uint8Array;
}

export interface EncodeJob extends BytesJob {
  readonly block: Block;
  /** Elements of the base in the block's place, if the tensor has one. */
  readonly base?: Uint8Array | undefined;
}

export interface DecodeJob extends BytesJob {
  readonly planned: PlannedBlock;
  readonly tensor: Pick<StoredTensorEntry, 'name' | 'codec'>;
  readonly side: DecoderSide;
  readonly file: string;
}

export type BlockJobs = typeof BLOCK_JOBS;

/** Jobs on one block, which any thread can run. The result is at the start of the job's buffer, so that buffers are reused. */
export const BLOCK_JOBS = {
  /** Encodes a block's elements to its frame. */
  encode: ({ bytes, block, base }: EncodeJob): Uint8Array =>
    framed(FRAME.block, bytes, (target) => encodeBlockInto(losslessKernels(), bytes, block, target, base)),

  /** Deflates a piece of a side file to its frame. */
  deflate: ({ bytes }: BytesJob): Uint8Array =>
    framed(FRAME.sideFile, bytes, (target) => {
      const deflated = deflate(bytes);
      target.set(deflated);
      return deflated.length;
    }),

  decode,
};

/** Verifies a block's frame and decodes it to elements. @throws {IntegrityError} naming codec, tensor and byte range. */
export function decode({ bytes, planned, tensor, side, file }: DecodeJob): Uint8Array {
  const elements = decodeFrame(bytes, planned, tensor, side, file);
  const result = new Uint8Array(bytes.buffer, 0, elements.length);
  result.set(elements);
  return result;
}

/** @param write writes the payload and returns its length. */
function framed(type: FrameType, { buffer }: Uint8Array, write: (target: Uint8Array) => number): Uint8Array {
  const length = FRAME_HEADER_BYTES + write(new Uint8Array(buffer, FRAME_HEADER_BYTES));
  const whole = new Uint8Array(buffer, 0, length);
  writeFrameHeader(type, whole);
  return whole;
}
