import type { Model, TensorInfo } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import { isConvertedView } from '../models/stored-model.js';
import type { Candidate, CodedTensor } from './candidate.js';
import type { Prepared } from './prepare.js';
import type { OnProgress } from './progress.js';
import { encodeUnquantized } from './unquantized.js';

/** A lossless file is tried only if the budget is at least this share of the tensors' bytes; none is smaller. */
const MIN_SHARE = 0.4;

export interface LosslessOptions {
  /** Maximum bytes of the file. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Writes a lossless candidate. @returns its bytes; infinity when they would exceed the limit. */
export function writeLossless(
  candidate: Candidate,
  model: Model,
  tensors: readonly TensorInfo[],
  onProgress: OnProgress,
  { maxBytes, signal }: LosslessOptions = {},
): Promise<number> {
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
 * Finishes a lossless file if a budget of bytes allows it. Not for GGUF, which is read as floats: its quantized blocks would be lost.
 * @returns a message; undefined, with the candidate discarded, if it does not fit.
 */
export async function finishLossless(
  { model, candidate, tensors, goal: { max } }: Prepared,
  onProgress: OnProgress,
  { threads, signal }: { readonly threads?: number | undefined; readonly signal?: AbortSignal | undefined },
): Promise<string | undefined> {
  const minBytes = MIN_SHARE * sumOf(tensors, ({ lengthBytes }) => lengthBytes);
  if (isConvertedView(model) || max < minBytes) return undefined;
  try {
    const bytes = await writeLossless(candidate, model, tensors, onProgress, { maxBytes: max, signal });
    if (bytes > max) return undefined;
    await candidate.finish(undefined, threads, max);
    return `the budget of ${max} bytes is enough for a lossless file`;
  } finally {
    await candidate.discard();
  }
}
