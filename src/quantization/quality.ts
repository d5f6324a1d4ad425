import type { Model } from '../core/model.js';
import { compareOnTokens } from '../evaluation/embedding/compare.js';
import { evaluate } from '../evaluation/node/run.js';
import { measurementsOf, type predictionsOf, type Quality } from '../evaluation/report.js';
import { loadRuntime } from '../onnx/node/runtime.js';
import { openModel } from '../open/open.js';
import type { HeldOut } from './calibration/held-out.js';
import type { ModelBase } from './model-base.js';
import type { OnProgress } from './progress.js';
import { type TuneOptions, tune } from './tuning/tune.js';

/** Returns the quality report that is stored in the file: the measurements and the name of the text. */
export function qualityReport(
  quality: Parameters<typeof measurementsOf>[0],
  { name }: Pick<HeldOut, 'name'>,
) {
  return report(measurementsOf(quality), name);
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
export function maxReportBytes(name: string, isOfEmbeddings: boolean): number {
  const estimate = { mean: FRACTION, standardError: FRACTION };
  const perplexity = { perplexity: FRACTION, standardError: FRACTION, nll: estimate };
  const sentenceMeasure = { ...estimate, median: FRACTION, p1: FRACTION, min: FRACTION };
  const embeddings: ReturnType<typeof measurementsOf> = {
    kind: 'embedding',
    sentences: COUNT,
    tokens: COUNT,
    dimensions: COUNT,
    cosine: sentenceMeasure,
    rank: sentenceMeasure,
  };
  const predictions: Required<ReturnType<typeof predictionsOf>> = {
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
  const text = `,"quality":${JSON.stringify(report(isOfEmbeddings ? embeddings : predictions, name))}`;
  return new TextEncoder().encode(text).length + STORED_BLOCK_BYTES;
}

/** Measures a candidate against the original. */
export async function measureCandidate(
  path: string,
  model: Model,
  heldOut: HeldOut,
  onProgress: OnProgress,
  signal?: AbortSignal,
  base?: ModelBase,
): Promise<Quality> {
  const compressed = await openModel(path, { base: base?.opened });
  try {
    if (heldOut.kind === 'sentences')
      return await compareOnTokens(await loadRuntime(), compressed, model, heldOut, {
        signal,
        onProgress: ({ done, total }) => onProgress(done, total),
      });
    const { tokens, window, maskToken } = heldOut;
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
  base?: ModelBase,
): Promise<Map<string, Float32Array>> {
  const compressed = await openModel(path, { base: base?.opened });
  try {
    return await tune(await loadRuntime(), model, compressed, windows, options);
  } finally {
    await compressed.close();
  }
}
