import type { Model, TensorInfo } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import { isConvertedView } from '../models/stored-model.js';
import type { Candidate, CodedTensor } from './candidate.js';
import type { Prepared } from './prepare.js';
import type { OnProgress } from './progress.js';
import { LOST_NOTHING } from './rate-control/messages.js';
import { encodeUnquantized } from './unquantized.js';

/** A file without loss is tried where a budget leaves this share of the tensors' bytes; none is smaller. */
const MIN_SHARE = 0.4;

export interface LosslessOptions {
  /** Bytes that the file may have. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Writes a candidate that loses nothing. */
export function writeLossless(
  candidate: Candidate,
  model: Model,
  tensors: readonly TensorInfo[],
  onProgress: OnProgress,
  { maxBytes, signal }: LosslessOptions = {},
): Promise<void> {
  const total = sumOf(tensors, ({ lengthBytes }) => lengthBytes);
  async function* encoded(): AsyncGenerator<CodedTensor> {
    let done = 0;
    for (const tensor of tensors) {
      signal?.throwIfAborted();
      yield await encodeUnquantized(model, tensor, true);
      done += tensor.lengthBytes;
      onProgress(done, total);
    }
  }
  return candidate.write(undefined, encoded(), maxBytes);
}

/**
 * Finishes the file without loss where a budget of bytes is enough for that. A model that is read in another form than it is stored
 * in, GGUF, would lose its blocks.
 * @returns what to say of it; undefined, with no candidate left, where it does not fit.
 */
export async function finishLossless(
  { model, candidate, tensors, goal: { limit } }: Prepared,
  onProgress: OnProgress,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const minBytes = MIN_SHARE * sumOf(tensors, ({ lengthBytes }) => lengthBytes);
  if (isConvertedView(model) || limit < minBytes) return undefined;
  try {
    await writeLossless(candidate, model, tensors, onProgress, { maxBytes: limit, signal });
    if ((await candidate.size()) > limit) return undefined;
    await candidate.finish(undefined, limit);
    return `the budget of ${limit} bytes is enough to lose nothing: ${LOST_NOTHING}`;
  } finally {
    await candidate.discard();
  }
}
