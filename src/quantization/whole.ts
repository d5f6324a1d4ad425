import { InputError } from '../core/errors.js';
import type { Model, TensorInfo } from '../core/model.js';
import { isReadAsOther } from '../models/stored-model.js';
import { total } from '../wpk/directory.js';
import { FRAME_HEADER_BYTES } from '../wpk/frames.js';
import type { Candidate, CodedTensor } from './candidate.js';
import type { Prepared } from './prepare.js';
import type { OnProgress } from './progress.js';
import { LOST_NOTHING } from './rate-control/messages.js';
import { encodeUnquantized } from './unquantized.js';

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
    const own = await encodeUnquantized(model, tensor, true);
    bytes += own.payloads.reduce((sum, { length }) => sum + length + FRAME_HEADER_BYTES, 0);
    if (bytes > most) throw new TooLarge('a file that loses nothing is larger than the budget');
    yield own;
    done += tensor.lengthBytes;
    onProgress(done, all);
  }
}

/**
 * Finishes the file without loss where a budget of bytes is enough for that. A file that is read in another form than it lies, GGUF,
 * would lose its blocks.
 * @returns what to say of it; undefined, with no candidate left, where it does not fit.
 */
export async function finishLossless(
  { model, candidate, tensors, goal }: Prepared,
  onProgress: OnProgress,
  threads?: number,
): Promise<string | undefined> {
  try {
    if (isReadAsOther(model) || !mayFit(tensors, goal.max)) return undefined;
    if ((await writeWhole(candidate, model, tensors, onProgress, goal.max)) === undefined) return undefined;
    await candidate.finish(undefined, threads);
    return `the budget of ${goal.max} bytes is enough to lose nothing: ${LOST_NOTHING}`;
  } finally {
    await candidate.discard();
  }
}
