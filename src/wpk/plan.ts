import { codecOf } from '../codecs/codec.js';
import type { Block } from '../codecs/lossless/block.js';
import { DTYPE_BYTES } from '../core/dtype.js';
import { sumOf } from '../core/sum.js';
import { type Directory, type StoredFile, type StoredTensorEntry, total } from './directory.js';

/** The range of one frame in the file. */
export interface FrameRange {
  readonly start: number;
  readonly end: number;
}

/** A block's frame, the block that it decodes to, and the range of the tensor's bytes. */
export interface PlannedBlock extends FrameRange {
  readonly block: Block;
  readonly firstByte: number;
  readonly endByte: number;
}

/**
 * Returns the frames needed for bytes `start` to `end` (exclusive) of a tensor, in order: those whose blocks overlap the range.
 * Uses only the directory.
 */
export function planTensor(tensor: StoredTensorEntry, start = 0, end = Infinity): PlannedBlock[] {
  const planned: PlannedBlock[] = [];
  const width = DTYPE_BYTES[tensor.dtype];
  const { hasParameters, blocks } = codecOf(tensor, '');
  let index = hasParameters ? 1 : 0;
  let offset = tensor.offset + total(tensor.frames.slice(0, index));
  for (const block of blocks(tensor)) {
    const length = tensor.frames[index++]!;
    const firstByte = block.first * width;
    const endByte = firstByte + block.count * width;
    if (start < end && endByte > start && firstByte < end)
      planned.push({ start: offset, end: offset + length, block, firstByte, endByte });
    offset += length;
  }
  return planned;
}

/** Returns the frame of parameters that all blocks of a tensor need; undefined for codecs without parameters. */
export function planParameters(tensor: StoredTensorEntry): FrameRange | undefined {
  const { offset, frames } = tensor;
  return codecOf(tensor, '').hasParameters ? { start: offset, end: offset + frames[0]! } : undefined;
}

/** Returns the frame of the tables that lossy tensors share; undefined if there is none. */
export function planTables(directory: Directory, manifestEnd: number): FrameRange | undefined {
  const { sideFiles, weightFiles, tables } = directory;
  if (!tables) return;
  const start = manifestEnd + total([...sideFiles, ...weightFiles].flatMap(({ frames }) => frames));
  return { start, end: start + tables };
}

/** Returns the frames of every side file and weight header. @param manifestEnd offset of the first of them. */
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

/** Returns the bytes of the file by content: each tensor, side files, container. They sum to `fileBytes`. */
export function accountBytes(directory: Directory, fileBytes: number) {
  const sideFiles = sumOf(directory.sideFiles, ({ frames }) => total(frames));
  const tensors = directory.tensors.map(({ frames, sameAs }) => (sameAs === undefined ? total(frames) : 0));
  return { tensors, sideFiles, container: fileBytes - sideFiles - total(tensors) };
}
