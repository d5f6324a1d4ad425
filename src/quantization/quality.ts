import type { Model } from '../core/model.js';
import type { Evaluation } from '../evaluation/evaluate.js';
import { evaluate } from '../evaluation/node/run.js';
import { nodeRuntime } from '../onnx/node/runtime.js';
import { openModel } from '../open/open.js';
import type { HeldOut } from './calibration/calibrate.js';
import type { OnProgress } from './progress.js';
import { type TuneOptions, tune } from './tuning/tune.js';

/** Returns what is stored in the file: the measures, and what they were made on. */
export function qualityReport({ model: _, against: __, ...measured }: Evaluation, { name }: HeldOut) {
  return { text: { name }, against: 'the original', ...measured };
}

/** Measures a candidate against the original. */
export async function measureCandidate(
  path: string,
  model: Model,
  { tokens, window, maskToken }: HeldOut,
  onProgress: OnProgress,
  signal?: AbortSignal,
): Promise<Evaluation> {
  const compressed = await openModel(path);
  try {
    return await evaluate(compressed, {
      tokens,
      window,
      maskToken,
      signal,
      against: model,
      onProgress: ({ done, total }) => onProgress(done, total),
    });
  } finally {
    await compressed.close();
  }
}

/** Tunes norms and biases of a candidate on windows of text. @returns their values by tensor name; the candidate stays as it is. */
export async function tuneCandidate(
  path: string,
  model: Model,
  windows: readonly (readonly number[])[],
  options: TuneOptions,
): Promise<Map<string, Float32Array>> {
  const compressed = await openModel(path);
  try {
    return await tune(nodeRuntime, model, compressed, windows, options);
  } finally {
    await compressed.close();
  }
}
