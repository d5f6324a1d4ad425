import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import { openProgram } from '../inference/program.js';
import type { Runtime } from '../onnx/runtime.js';
import { detailsOf, type EvaluationDetails } from './details.js';
import type { EvaluateOptions } from './options.js';
import { runPasses } from './passes.js';
import { checkComparable, windowsOf } from './prepare.js';
import type { Scores } from './score.js';
import { type Estimate, estimate, quantile } from './statistics.js';
import {
  type LogitsStore,
  predictionsOf,
  requireComparable,
  requireSame,
  type StoredLogits,
} from './stored-logits.js';
import type { Window } from './windows.js';

/** How well a model predicts a text. */
export interface Perplexity {
  /** exp(mean negative log-likelihood). */
  readonly perplexity: number;
  /** Standard error of the perplexity, over windows; null for a single window. */
  readonly standardError: number | null;
  /** Negative log-likelihood per token, in nats. */
  readonly nll: Estimate;
}

/** How far predictions are from those of a reference: a mean and the spread over tokens. */
export interface Divergence extends Estimate {
  /** Half of the tokens have less. */
  readonly median: number;
  /** 99 % of the tokens have less. */
  readonly p99: number;
  /** Maximum over tokens. */
  readonly max: number;
}

/** How often two models find the same token most probable. */
export interface Agreement {
  /** The share of tokens, 0 to 1. */
  readonly agreement: number;
  /** Standard error of the share, over windows; null for a single window. */
  readonly standardError: number | null;
}

/** How a model predicts a text, and how its predictions differ from a reference model's. */
export interface Evaluation extends Perplexity {
  /** The path, address or name that the model was opened by. */
  readonly model: string;
  /** Whether it predicts the next token or masked tokens. */
  readonly kind: 'causal' | 'masked';
  /** Windows that the text was cut into. */
  readonly windows: number;
  /** Tokens per window. */
  readonly window: number;
  /** Number of predicted tokens in all windows. */
  readonly tokens: number;
  /** The reference: what it was opened by, or the name in the file of its logits. This and the next fields are undefined without one. */
  readonly against?: string;
  /** How well the reference predicts the same text. */
  readonly reference?: Perplexity;
  /** Difference of the negative log-likelihoods, model minus reference, nats per token. */
  readonly nllDifference?: Estimate;
  /** KL(reference || model) per token, in nats. */
  readonly kl?: Divergence;
  /** How often both models find the same token most probable. */
  readonly top1?: Agreement;
  /** SHA-256 that identifies the reference; undefined if its logits were not stored before. */
  readonly againstSha256?: string;
  /** All statistics; the fields above summarize them. */
  readonly details: EvaluationDetails;
  /** The file of logits that was written; undefined if none was. */
  readonly savedLogits?: SavedLogits;
}

/** A file of stored logits. */
export interface SavedLogits {
  /** Its path. */
  readonly path: string;
  /** Bytes in it. */
  readonly bytes: number;
}

/**
 * Measures the perplexity of a model on a text, and its divergence from a reference if there is one. Models run layer by layer.
 * @throws {InputError} for models that cannot be run or compared, a text that is too short, and stored logits that do not belong to it.
 * @throws the signal's reason once it is aborted.
 */
export async function evaluateWith(
  runtime: Runtime,
  store: LogitsStore,
  model: Model,
  options: EvaluateOptions,
): Promise<Evaluation> {
  if (options.logits === undefined) return evaluateAgainst(runtime, store, undefined, model, options);
  if (options.against || options.saveLogits !== undefined)
    throw new InputError('stored logits take the place of a reference model, and are not stored again');
  const stored = await store.open(options.logits);
  try {
    return await evaluateAgainst(runtime, store, stored, model, options);
  } finally {
    await stored.close();
  }
}

async function evaluateAgainst(
  runtime: Runtime,
  store: LogitsStore,
  stored: StoredLogits | undefined,
  model: Model,
  options: EvaluateOptions,
): Promise<Evaluation> {
  const { against, saveLogits, force = false } = options;
  const program = await openProgram(model, options.signal);
  const reference = against && (await openProgram(against, options.signal));
  if (reference) checkComparable(program, reference);
  const about = { kind: program.plan.kind, vocabulary: program.plan.vocabulary };
  if (stored) requireComparable(stored, about);
  const windows = await windowsOf(program, reference, stored, options);
  const predictions = predictionsOf(about, windows);
  if (stored) requireSame(stored, predictions);
  const inputs = against ? [model, against] : [model];
  const saved =
    saveLogits === undefined
      ? undefined
      : await store.create(saveLogits, against ?? model, predictions, { force, inputs });
  try {
    const scores = await runPasses(runtime, { model: program, reference, stored, saved }, windows, options);
    const bytes = await saved?.finish();
    return {
      ...evaluationOf(scores, windows, {
        model: model.id,
        kind: about.kind,
        ...(against && { against: against.id }),
        ...(stored && { against: stored.origin.model, againstSha256: stored.origin.modelSha256 }),
      }),
      ...(bytes !== undefined && { savedLogits: { path: saveLogits!, bytes } }),
    };
  } catch (error) {
    await saved?.discard();
    throw error;
  }
}

/** Returns what scores say. @param about what they are of. */
export function evaluationOf(
  scores: Scores,
  windows: readonly Window[],
  about: Pick<Evaluation, 'model' | 'kind' | 'against' | 'againstSha256'>,
): Evaluation {
  const { length } = windows;
  return {
    ...about,
    windows: length,
    window: windows[0]!.input.length,
    tokens: scores.nll.length,
    ...perplexityOf(scores.nll, length),
    ...(scores.comparison && comparison(scores, length)),
    details: detailsOf(scores, length),
  };
}

function perplexityOf(values: Float64Array, windows: number): Perplexity {
  const nll = estimate(values, windows);
  const perplexity = Math.exp(nll.mean);
  // to first order, an error of the mean is a relative error of its exponential
  const standardError = nll.standardError === null ? null : perplexity * nll.standardError;
  return { perplexity, standardError, nll };
}

function comparison({ nll, comparison }: Scores, windows: number) {
  const { referenceNll, kl, agrees } = comparison!;
  const sorted = kl.slice().sort();
  const top1 = estimate(agrees, windows);
  return {
    reference: perplexityOf(referenceNll, windows),
    nllDifference: estimate(
      nll.map((value, i) => value - referenceNll[i]!),
      windows,
    ),
    kl: {
      ...estimate(kl, windows),
      median: quantile(sorted, 0.5),
      p99: quantile(sorted, 0.99),
      max: sorted[sorted.length - 1]!,
    },
    top1: { agreement: top1.mean, standardError: top1.standardError },
  };
}
