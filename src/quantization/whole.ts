import { InputError } from '../core/errors.js';
import type { Model, TensorInfo } from '../core/model.js';
import { total } from '../wpk/directory.js';
import { FRAME_HEADER_BYTES } from '../wpk/frames.js';
import type { Candidate, CodedTensor } from './candidate.js';
import { codeVector } from './vectors.js';

/** A file that loses nothing is tried where a budget leaves this share of the tensors' bytes; none is smaller. */
const MIN_SHARE = 0.4;

/** Whether a budget of bytes may be enough for a file that loses nothing. */
export function mayFit(tensors: readonly TensorInfo[], mostBytes: number): boolean {
  return mostBytes >= MIN_SHARE * total(tensors.map(({ lengthBytes }) => lengthBytes));
}

/** Writes a candidate that loses nothing. @returns its bytes, or undefined, with no candidate left, when they would be more than `most`. */
export async function writeWhole(
  candidate: Candidate,
  model: Model,
  tensors: readonly TensorInfo[],
  onProgress: (doneBytes: number, totalBytes: number) => void,
  most = Number.POSITIVE_INFINITY,
): Promise<number | undefined> {
  try {
    const bytes = await candidate.write(undefined, coded(model, tensors, onProgress, most));
    return bytes <= most ? bytes : undefined;
  } catch (error) {
    if (error instanceof TooLarge) return undefined;
    throw error;
  }
}

class TooLarge extends InputError {}

async function* coded(
  model: Model,
  tensors: readonly TensorInfo[],
  onProgress: (doneBytes: number, totalBytes: number) => void,
  most: number,
): AsyncGenerator<CodedTensor> {
  const all = total(tensors.map(({ lengthBytes }) => lengthBytes));
  let [done, bytes] = [0, 0];
  for (const tensor of tensors) {
    const own = await codeVector(model, tensor, true);
    bytes += own.payloads.reduce((sum, { length }) => sum + length + FRAME_HEADER_BYTES, 0);
    if (bytes > most) throw new TooLarge('a file that loses nothing is larger than the budget');
    yield own;
    done += tensor.lengthBytes;
    onProgress(done, all);
  }
}
