import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import { openProgram, type Program } from '../inference/program.js';
import { streamHidden } from '../inference/stream.js';
import type { Runtime } from '../onnx/runtime.js';
import { loadTokenizer } from '../tokenizer/tokenizer.js';
import { type Scores, scoreWindows } from './score.js';
import { type Estimate, estimate, quantile } from './statistics.js';
import { cutWindows, type Window } from './windows.js';

export interface EvaluateOptions {
  /** The text, which is tokenized as a whole with the model's tokenizer; `tokens` can be given instead. */
  readonly text?: string;
  readonly tokens?: ArrayLike<number>;
  /** The reference model. */
  readonly against?: Model;
  /** Tokens per window; by default the context length, at most {@link LONGEST_DEFAULT_WINDOW}. */
  readonly window?: number;
  /** Maximum number of tokens to use, from the first. */
  readonly maxTokens?: number;
  /** Id of the mask token, for masked models with `tokens`. */
  readonly maskToken?: number;
  /** Called with the work done and its total, in tokens times layers. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

export interface Perplexity {
  /** exp(mean negative log-likelihood). */
  readonly perplexity: number;
  readonly standardError: number | null;
  /** Negative log-likelihood, nats per token. */
  readonly nll: Estimate;
}

/** Perplexity of a model on a text and, with a reference model, the divergence of its predictions. */
export interface Evaluation extends Perplexity {
  readonly model: string;
  readonly kind: 'causal' | 'masked';
  readonly windows: number;
  /** Tokens per window. */
  readonly window: number;
  /** Number of predicted tokens in all windows. */
  readonly tokens: number;
  readonly against?: string;
  readonly reference?: Perplexity;
  /** Difference of the negative log-likelihoods, model minus reference, nats per token. */
  readonly nllDifference?: Estimate;
  /** KL(reference || model), nats per token. */
  readonly kl?: Estimate & { readonly median: number; readonly p99: number; readonly max: number };
  /** Share of positions at which both models have the same most probable token. */
  readonly top1?: { readonly agreement: number; readonly standardError: number | null };
}

/** Default maximum of the window. */
export const LONGEST_DEFAULT_WINDOW = 2048;

/**
 * Measures a model's perplexity on a text and its divergence from a reference model. Both are run layer by layer; logits are not stored.
 * @throws {InputError} for unsupported models, models that cannot be compared, and unusable text.
 */
export async function evaluateWith(
  runtime: Runtime,
  model: Model,
  options: EvaluateOptions,
): Promise<Evaluation> {
  const program = await openProgram(model, options.signal);
  const reference = options.against && (await openProgram(options.against, options.signal));
  if (reference) checkComparable(program, reference);
  const windows = await windowsOf(program, reference, options);
  const scores = await run(runtime, program, reference, windows, options);
  return {
    model: model.id,
    kind: program.plan.kind,
    windows: windows.length,
    window: windows[0]!.input.length,
    tokens: scores.nll.length,
    ...perplexityOf(scores.nll, windows.length),
    ...(options.against && { against: options.against.id, ...comparison(scores, windows.length) }),
  };
}

function checkComparable(program: Program, reference: Program): void {
  const [own, other] = [program.size.vocabulary, reference.size.vocabulary];
  if (own !== other)
    throw new InputError(
      `a vocabulary of ${own} cannot be compared with ${reference.model.id}'s of ${other}`,
      {
        file: program.model.id,
      },
    );
  if (program.plan.kind !== reference.plan.kind)
    throw new InputError(
      `a ${program.plan.kind} model cannot be compared with a ${reference.plan.kind} one`,
      {
        file: program.model.id,
      },
    );
}

async function windowsOf(
  { model, plan, size }: Program,
  reference: Program | undefined,
  { text, tokens, window, maxTokens = Number.POSITIVE_INFINITY, maskToken }: EvaluateOptions,
): Promise<Window[]> {
  const context = Math.min(plan.context, reference?.plan.context ?? plan.context);
  const length = window ?? Math.min(context, LONGEST_DEFAULT_WINDOW);
  const least = plan.kind === 'causal' ? 2 : 1;
  if (!(Number.isInteger(length) && length >= least && length <= context))
    throw new InputError(`expected a window of ${least} to ${context} tokens, found ${length}`);
  const tokenizer = text === undefined ? undefined : await loadTokenizer(model);
  const all = tokenizer?.encode(text!) ?? tokens ?? [];
  return cutWindows(Array.prototype.slice.call(all, 0, Math.min(all.length, maxTokens)), {
    kind: plan.kind,
    length,
    vocabulary: size.vocabulary,
    maskToken: maskToken ?? tokenizer?.maskToken,
  });
}

async function run(
  runtime: Runtime,
  program: Program,
  reference: Program | undefined,
  windows: readonly Window[],
  { onProgress, signal }: EvaluateOptions,
): Promise<Scores> {
  const inputs = windows.map(({ input }) => input);
  const tokens = inputs.length * inputs[0]!.length;
  const programs = reference ? [program, reference] : [program];
  // layers, embedding and head count as one step per token each
  const steps = programs.map(({ size }) => size.layers + 2);
  const total = tokens * steps.reduce((sum, count) => sum + count, 0);
  let before = 0;
  const streamed = [];
  for (const each of programs) {
    const progress = (done: number) => onProgress?.(before + done, total);
    const hidden = await streamHidden(runtime, each, inputs, {
      onProgress: progress,
      ...(signal && { signal }),
    });
    streamed.push({ program: each, hidden });
    before += tokens * (each.size.layers + 1);
  }
  const perWindow = (total - before) / windows.length;
  return scoreWindows(runtime, streamed[0]!, streamed[1], windows, {
    onWindow: (done) => onProgress?.(before + done * perWindow, total),
    ...(signal && { signal }),
  });
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
