import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import { Meter, type RunOptions } from '../core/progress.js';
import { openProgram, type Program } from '../inference/program.js';
import { streamHidden } from '../inference/stream.js';
import type { Runtime } from '../onnx/runtime.js';
import { loadTokenizer } from '../tokenizer/tokenizer.js';
import { type Scores, scoreWindows } from './score.js';
import { type Estimate, estimate, quantile } from './statistics.js';
import { cutWindows, type Window } from './windows.js';

/** Options of `evaluate`. */
export interface EvaluateOptions extends RunOptions {
  /** The text, tokenized whole with the model's tokenizer; or `tokens` instead. */
  readonly text?: string | undefined;
  /** Token ids, instead of a text. */
  readonly tokens?: ArrayLike<number> | undefined;
  /** The reference model. */
  readonly against?: Model | undefined;
  /** Tokens per window; by default the context, at most 2048. */
  readonly window?: number | undefined;
  /** Uses no more than the first so many tokens. */
  readonly maxTokens?: number | undefined;
  /** For a masked model with `tokens`: the id of the mask token. */
  readonly maskToken?: number | undefined;
}

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
  /** The reference model; this and all fields below are undefined without one. */
  readonly against?: string;
  /** How well the reference predicts the same text. */
  readonly reference?: Perplexity;
  /** Difference of the negative log-likelihoods, model minus reference, nats per token. */
  readonly nllDifference?: Estimate;
  /** KL(reference || model) per token, in nats. */
  readonly kl?: Divergence;
  /** How often both models find the same token most probable. */
  readonly top1?: Agreement;
}

/** Maximum tokens per window by default. */
const LONGEST_DEFAULT_WINDOW = 2048;

/**
 * Measures the perplexity of a model on a text, and its divergence from a reference model if there is one. Models run layer by layer;
 * logits are not stored.
 * @throws {InputError} for models that cannot be run or compared, and a text that is too short.
 * @throws the signal's reason once it is aborted.
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
      `cannot compare a vocabulary of ${own} with that of ${reference.model.id}, ${other}`,
      {
        file: program.model.id,
      },
    );
  if (program.plan.kind !== reference.plan.kind)
    throw new InputError(`cannot compare a ${program.plan.kind} model with a ${reference.plan.kind} one`, {
      file: program.model.id,
    });
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
  options: EvaluateOptions,
): Promise<Scores> {
  const { signal } = options;
  const inputs = windows.map(({ input }) => input);
  const tokens = inputs.length * inputs[0]!.length;
  const programs = reference ? [program, reference] : [program];
  // Progress counts every layer, the embedding and the head as one step per token.
  const steps = programs.map(({ size }) => size.layers + 2).reduce((sum, count) => sum + count, 0);
  const meter = new Meter(options, 'evaluating', tokens * programs.length, 'tokens');
  const reach = (tokenLayers: number) => meter.reach((tokenLayers / steps) * programs.length);
  let before = 0;
  const streamed = [];
  for (const each of programs) {
    const hidden = await streamHidden(runtime, each, inputs, {
      onProgress: (tokenLayers) => reach(before + tokenLayers),
      signal,
    });
    streamed.push({ program: each, hidden });
    before += tokens * (each.size.layers + 1);
  }
  const perWindow = (tokens * steps - before) / windows.length;
  return scoreWindows(runtime, streamed[0]!, streamed[1], windows, {
    onWindow: (done) => reach(before + done * perWindow),
    signal,
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
