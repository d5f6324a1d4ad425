import { type DecoderSide, LOSSLESS } from '../codecs/codec.js';
import { BLOCK_BYTES, type Block, encodeBlockInto } from '../codecs/lossless/block.js';
import { losslessKernels } from '../wasm/lossless.js';
import type { BasePlace } from './base.js';
import type { StoredTensorEntry } from './directory.js';
import { deflate, FRAME, FRAME_HEADER_BYTES, writeFrameHeader } from './frames.js';
import type { PlannedBlock } from './plan.js';
import { decodeFrame } from './reader.js';

/** Maximum growth of a job's bytes: the frame header, and 5 bytes per 64 kB of incompressible data. */
const RESULT_ROOM_BYTES = 256;

/** Buffer size for a lossless block's elements or frame, or a deflated piece. */
export const BUFFER_BYTES = BLOCK_BYTES + RESULT_ROOM_BYTES;

/** The input of every job: bytes at the start of a buffer with room for the result, which replaces them. */
export interface BytesJob {
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
  /** Descriptor of the file, if the thread has to read the frame itself; `bytes` then only receive the result. */
  readonly descriptor?: number | undefined;
  /** Where the thread reads the base's elements, if `side` does not have them. */
  readonly basePlace?: BasePlace | undefined;
}

export type BlockJobs = typeof BLOCK_JOBS;

/** Jobs on one block, which any thread can run. The result is at the start of the job's buffer, so that buffers are reused. */
export const BLOCK_JOBS = {
  /** Encodes a block's elements to its frame. */
  encode({ bytes, block, base }: EncodeJob): Uint8Array {
    const kernels = losslessKernels();
    const { frame } = kernels.buffers; // pieces are copied faster within this memory than into a shared buffer
    const payload = frame.subarray(FRAME_HEADER_BYTES);
    const length = FRAME_HEADER_BYTES + encodeBlockInto(kernels, bytes, block, payload, base);
    writeFrameHeader(FRAME.block, frame.subarray(0, length));
    const whole = new Uint8Array(bytes.buffer, 0, length);
    whole.set(frame.subarray(0, length));
    return whole;
  },

  /** Deflates a piece of a side file to its frame. */
  deflate({ bytes }: BytesJob): Uint8Array {
    const deflated = deflate(bytes);
    const whole = new Uint8Array(bytes.buffer, 0, FRAME_HEADER_BYTES + deflated.length);
    whole.set(deflated, FRAME_HEADER_BYTES);
    writeFrameHeader(FRAME.sideFile, whole);
    return whole;
  },

  decode,
};

/** Verifies a block's frame and decodes it to elements. @throws {IntegrityError} naming codec, tensor and byte range. */
export function decode(job: DecodeJob): Uint8Array {
  const { bytes, planned, tensor, side, file } = job;
  const frame = memoryFor(job);
  if (frame !== bytes) frame.set(bytes);
  return decodeInto(bytes, frame, { planned, tensor, side, file });
}

/** Returns where a job's frame is best placed: in the memory of the kernels that decode it, or in the job's own bytes. */
export function memoryFor({
  bytes,
  planned: { start, end },
  tensor: { codec },
}: Pick<DecodeJob, 'bytes' | 'planned' | 'tensor'>): Uint8Array {
  const { payload } = losslessKernels().buffers;
  const lengthBytes = end - start;
  if (codec === LOSSLESS && lengthBytes <= payload.length) return payload.subarray(0, lengthBytes);
  return new Uint8Array(bytes.buffer, 0, lengthBytes);
}

/** Decodes a frame into the buffer of `bytes`. */
export function decodeInto(
  bytes: Uint8Array,
  frame: Uint8Array,
  { planned, tensor, side, file }: Omit<DecodeJob, 'bytes'>,
): Uint8Array {
  const elements = decodeFrame(frame, planned, tensor, side, file);
  const result = new Uint8Array(bytes.buffer, 0, elements.length);
  result.set(elements);
  return result;
}
