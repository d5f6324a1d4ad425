import type { Model } from '../core/model.js';
import type { Evaluation } from '../evaluation/evaluate.js';
import { evaluate } from '../evaluation/node/run.js';
import { nodeRuntime } from '../onnx/node/runtime.js';
import { openModel } from '../open/open.js';
import type { HeldOut } from './calibration/calibrate.js';
import type { OnProgress } from './stages.js';
import { tune } from './tuning/tune.js';

/** What is stored in the file: the measures, and what they were made on. */
export function qualityReport({ model: _, against: __, ...measured }: Evaluation, { name }: HeldOut) {
  return { text: { name }, against: 'the original', ...measured };
}

/** Tunes norms and biases of a candidate by the windows that calibration has seen. */
export async function tuneCandidate(
  path: string,
  model: Model,
  seen: readonly (readonly number[])[],
  onProgress: OnProgress,
) {
  const compressed = await openModel(path);
  try {
    return await tune(nodeRuntime, model, compressed, seen, { onProgress });
  } finally {
    await compressed.close();
  }
}

/** Measures a candidate against the original; nothing without text that is held out. */
export async function measureCandidate(
  path: string,
  model: Model,
  heldOut: HeldOut | undefined,
  onProgress: OnProgress,
) {
  if (!heldOut) return undefined;
  const compressed = await openModel(path);
  try {
    return await evaluate(compressed, {
      tokens: heldOut.tokens,
      window: heldOut.window,
      ...(heldOut.maskToken === undefined ? {} : { maskToken: heldOut.maskToken }),
      against: model,
      onProgress: ({ done, total }) => onProgress(done, total),
    });
  } finally {
    await compressed.close();
  }
}
