import type { Model } from '../core/model.js';
import type { Evaluation } from '../evaluation/evaluate.js';
import { evaluate } from '../evaluation/node/run.js';
import { measurementsOf } from '../evaluation/report.js';
import { loadRuntime } from '../onnx/node/runtime.js';
import { openModel } from '../open/open.js';
import type { HeldOut } from './calibration/calibrate.js';
import type { OnProgress } from './progress.js';
import { type TuneOptions, tune } from './tuning/tune.js';

/** Returns the quality report that is stored in the file: the measurements and the name of the text. */
export function qualityReport(evaluation: Omit<Evaluation, 'details'>, { name }: Pick<HeldOut, 'name'>) {
  return report(measurementsOf(evaluation), name);
}

function report(measurements: ReturnType<typeof measurementsOf>, name: string) {
  return { text: { name }, against: 'the original', ...measurements };
}

/** A number of the maximum length in JSON, 25 characters: smaller ones are written with an exponent. */
const FRACTION = -1.2345678901234567e-6;
const COUNT = Number.MAX_SAFE_INTEGER;
/** Overhead of deflate for incompressible text: the header of a stored block and padding to a byte. */
const STORED_BLOCK_BYTES = 6;

/** Returns the maximum bytes that a quality report adds to a file: its text with every number at maximum length. */
export function maxReportBytes(name: string): number {
  const estimate = { mean: FRACTION, standardError: FRACTION };
  const perplexity = { perplexity: FRACTION, standardError: FRACTION, nll: estimate };
  const longest: Required<ReturnType<typeof measurementsOf>> = {
    kind: 'causal',
    windows: COUNT,
    window: COUNT,
    tokens: COUNT,
    ...perplexity,
    reference: perplexity,
    nllDifference: estimate,
    kl: { ...estimate, median: FRACTION, p99: FRACTION, max: FRACTION },
    top1: { agreement: FRACTION, standardError: FRACTION },
  };
  const text = `,"quality":${JSON.stringify(report(longest, name))}`;
  return new TextEncoder().encode(text).length + STORED_BLOCK_BYTES;
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
    return await tune(await loadRuntime(), model, compressed, windows, options);
  } finally {
    await compressed.close();
  }
}
