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
 * Uses only the directory, and of a large tensor only the blocks of the range.
 */
export function planTensor(tensor: StoredTensorEntry, start = 0, end = Infinity): PlannedBlock[] {
  const planned: PlannedBlock[] = [];
  if (start >= end) return planned;
  const width = DTYPE_BYTES[tensor.dtype];
  const { hasParameters, blockElements, blocks } = codecOf(tensor, '');
  const first = Math.floor(start / (blockElements(tensor) * width));
  const starts = frameStarts(tensor);
  let index = first + Number(hasParameters);
  for (const block of blocks(tensor, first)) {
    const firstByte = block.first * width;
    if (firstByte >= end) break;
    const endByte = firstByte + block.count * width;
    planned.push({ start: starts[index]!, end: starts[++index]!, block, firstByte, endByte });
  }
  return planned;
}

/** What {@link frameStarts} returned for the frames of a tensor. */
const STARTS = new WeakMap<readonly number[], Float64Array>();

/** Returns the offset of each frame of a tensor, and of what follows the last. */
function frameStarts({ offset, frames }: StoredTensorEntry): Float64Array {
  const known = STARTS.get(frames);
  if (known) return known;
  const starts = new Float64Array(frames.length + 1).fill(offset, 0, 1);
  for (const [i, length] of frames.entries()) starts[i + 1] = starts[i]! + length;
  STARTS.set(frames, starts);
  return starts;
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
