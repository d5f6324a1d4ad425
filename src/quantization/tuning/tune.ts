import type { Model } from '../../core/model.js';
import { openProgram } from '../../inference/program.js';
import type { Runtime } from '../../onnx/runtime.js';
import { adam, tunedVector } from './adam.js';
import { DifferentiableModel, differentiateProgram, releaseGraphs } from './differentiable-model.js';
import { divergenceGradient } from './divergence-gradient.js';

export interface TuneOptions {
  /** Number of steps, each on one batch. */
  readonly steps?: number;
  /** Learning rate of Adam, relative to each vector's root mean square. */
  readonly rate?: number;
  /** Called with the number of processed tokens, and their total. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Minimum number of windows for tuning: with fewer it would overfit. */
export const MIN_TUNING_WINDOWS = 16;

/** Windows per step. */
const BATCH_WINDOWS = 4;

/**
 * Tunes the vectors of a compressed model (norms and biases) to reduce its divergence from the original: Adam on the mean KL of windows
 * of text. Quantized matrices do not change, so the file's size changes by a few bytes at most.
 * @param compressed the decoded model. @param windows all of one length. @returns the vectors by tensor name, float32.
 */
export async function tune(
  runtime: Runtime,
  original: Model,
  compressed: Model,
  windows: readonly (readonly number[])[],
  options: TuneOptions = {},
): Promise<Map<string, Float32Array>> {
  const { steps = 120, rate = 0.003, onProgress, signal } = options;
  const program = await openProgram(compressed, signal);
  const reference = await openProgram(original, signal);
  const { length } = windows[0]!;
  const graphs = await differentiateProgram(runtime, program, length);
  try {
    const teacher = await DifferentiableModel.load(runtime, reference, graphs, length);
    const student = await DifferentiableModel.load(runtime, program, graphs, length);
    const values = student.vectors();
    const vectors = new Map([...values].map(([name, own]) => [name, tunedVector(own)]));
    const batches = Math.floor(windows.length / BATCH_WINDOWS);
    for (let step = 0; step < steps; step++) {
      signal?.throwIfAborted();
      const first = (step % batches) * BATCH_WINDOWS;
      const batch = windows.slice(first, first + BATCH_WINDOWS);
      const expected = await teacher.logits(await teacher.forward(batch));
      const states = await student.forward(batch);
      const logits = await student.logits(states);
      const cotangent = divergenceGradient(expected, logits, program.plan.vocabulary);
      await student.backward(states, cotangent, (name, found) => vectors.get(name)!.gradient.set(found));
      const cosine = rate * 0.5 * (1 + Math.cos((Math.PI * step) / steps));
      for (const vector of vectors.values()) adam(vector, step, cosine);
      const tokens = BATCH_WINDOWS * length;
      onProgress?.((step + 1) * tokens, steps * tokens);
    }
    return values;
  } finally {
    await releaseGraphs(graphs);
  }
}
