import { type Block, blocksOf } from '../codec/lossless/block.js';
import { DTYPE_BYTES } from '../formats/dtype.js';
import { BLOCK_BYTES } from '../kernels/lossless.js';
import {
  type Directory,
  MANIFEST_START,
  type StoredFile,
  type StoredTensorEntry,
  total,
} from './directory.js';

/** A range of the file that is one whole frame. */
export interface FrameRange {
  readonly start: number;
  readonly end: number;
}

/** A block's frame, what it decodes to, and which of the tensor's bytes those are. */
export interface PlannedBlock extends FrameRange {
  readonly block: Block;
  readonly firstByte: number;
  readonly endByte: number;
}

/**
 * Which frames bytes `start` to `end` of a tensor need, in order: those whose blocks overlap the range, no others.
 * Computed from the directory alone.
 */
export function planTensor(tensor: StoredTensorEntry, start = 0, end = Infinity): PlannedBlock[] {
  const planned: PlannedBlock[] = [];
  let offset = tensor.offset;
  let index = 0;
  for (const block of blocksOf(tensor.dtype, tensor.shape)) {
    const length = tensor.frames[index]!;
    const firstByte = index * BLOCK_BYTES;
    const endByte = firstByte + block.count * DTYPE_BYTES[tensor.dtype];
    if (start < end && endByte > start && firstByte < end)
      planned.push({ start: offset, end: offset + length, block, firstByte, endByte });
    offset += length;
    index++;
  }
  return planned;
}

/** The frames of every side file and weight header. `manifestEnd`: where the first of them begins. */
export function planFiles(directory: Directory, manifestEnd: number): Map<StoredFile, FrameRange[]> {
  let next = manifestEnd;
  return new Map(
    [...directory.sideFiles, ...directory.weightFiles].map((file) => [
      file,
      file.frames.map((length) => {
        const start = next;
        next += length;
        return { start, end: next };
      }),
    ]),
  );
}

/** Bytes of the file by what they hold; the sum is the file's length. */
export function accountBytes(directory: Directory, fileBytes: number) {
  const sideFiles = directory.sideFiles.reduce((sum, { frames }) => sum + total(frames), 0);
  const tensors = directory.tensors.map(({ frames, sameAs }) => (sameAs === undefined ? total(frames) : 0));
  return { tensors, sideFiles, container: fileBytes - sideFiles - total(tensors) };
}

export { MANIFEST_START };
