import type { Model, TensorInfo } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import { isConvertedView } from '../models/stored-model.js';
import type { Candidate } from './candidate.js';
import type { CodedTensor } from './candidate-frames.js';
import type { ModelBase } from './model-base.js';
import type { Prepared } from './prepare.js';
import type { OnProgress } from './progress.js';
import { encodeUnquantized } from './unquantized.js';

/** A lossless file is tried only if the budget is at least this share of the tensors' bytes; none is smaller. */
const MIN_SHARE = 0.4;

export interface LosslessOptions {
  /** Maximum bytes of the file. */
  readonly maxBytes?: number;
  readonly base?: ModelBase | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Writes a lossless candidate. */
export function writeLossless(
  candidate: Candidate,
  model: Model,
  tensors: readonly TensorInfo[],
  onProgress: OnProgress,
  { maxBytes, base, signal }: LosslessOptions = {},
): Promise<void> {
  const total = sumOf(tensors, ({ lengthBytes }) => lengthBytes);
  async function* encoded(): AsyncGenerator<CodedTensor> {
    let done = 0;
    for (const tensor of tensors) {
      signal?.throwIfAborted();
      yield await encodeUnquantized(model, tensor, true, base);
      done += tensor.lengthBytes;
      onProgress(done, total);
    }
  }
  return candidate.write(undefined, encoded(), maxBytes);
}

/**
 * Finishes a lossless file if a budget of bytes allows it. Not for GGUF, which is read as floats: its quantized blocks would be lost.
 * @returns a message; undefined, with the candidate discarded, if it does not fit.
 */
export async function finishLossless(
  { model, candidate, tensors, base, goal: { limit } }: Prepared,
  onProgress: OnProgress,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const minBytes = base ? 0 : MIN_SHARE * sumOf(tensors, ({ lengthBytes }) => lengthBytes);
  if (isConvertedView(model) || limit < minBytes) return undefined;
  try {
    await writeLossless(candidate, model, tensors, onProgress, { maxBytes: limit, base, signal });
    if ((await candidate.size()) > limit) return undefined;
    await candidate.finish(undefined, limit);
    return `the budget of ${limit} bytes is enough for a lossless file`;
  } finally {
    await candidate.discard();
  }
}
