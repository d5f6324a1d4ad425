import type { Model, TensorInfo } from '../core/model.js';
import { total } from '../wpk/directory.js';
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
  most?: number,
): Promise<number | undefined> {
  const bytes = await candidate.write(undefined, coded(model, tensors, onProgress), most);
  return most !== undefined && bytes > most ? undefined : bytes;
}

async function* coded(
  model: Model,
  tensors: readonly TensorInfo[],
  onProgress: (doneBytes: number, totalBytes: number) => void,
): AsyncGenerator<CodedTensor> {
  const all = total(tensors.map(({ lengthBytes }) => lengthBytes));
  let done = 0;
  for (const tensor of tensors) {
    yield await codeVector(model, tensor, true);
    done += tensor.lengthBytes;
    onProgress(done, all);
  }
}
