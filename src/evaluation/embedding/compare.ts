import { embeddingSize } from '../../architectures/pooling.js';
import { InputError } from '../../core/errors.js';
import type { Model } from '../../core/model.js';
import { Meter, type RunOptions } from '../../core/progress.js';
import { sumOf } from '../../core/sum.js';
import { embedTokens, requireEmbeddings } from '../../inference/embedding/embed.js';
import { type EmbeddingProgram, openEmbeddingProgram } from '../../inference/embedding/program.js';
import { SentenceTokenizer } from '../../inference/embedding/tokens.js';
import type { Runtime } from '../../onnx/runtime.js';
import { type Estimate, errorOfMean, quantile } from '../statistics.js';
import { cosineOf, rankAgreements } from './ranks.js';
import { sentencesOf } from './sentences.js';

/** Options of `compareEmbeddings`. */
export interface CompareEmbeddingsOptions extends RunOptions {
  /** The reference model, usually the original. */
  readonly against: Model;
  /** A text: one sentence per line, or prose with blank lines between its paragraphs, which is cut into sentences. */
  readonly text: string;
  /** Uses no more than the first so many tokens; by default all. */
  readonly maxTokens?: number | undefined;
}

/** How a measure of sentences is distributed. */
export interface SentenceMeasure extends Estimate {
  /** Half of the sentences have less. */
  readonly median: number;
  /** 1 % of the sentences have less. */
  readonly p1: number;
  /** Minimum over sentences. */
  readonly min: number;
}

/** How near a model's embeddings are to those of a reference model. */
export interface EmbeddingComparison {
  /** The path, address or name that the model was opened by. */
  readonly model: string;
  /** What the numbers are of. */
  readonly kind: 'embedding';
  /** The reference. */
  readonly against: string;
  /** Sentences compared. */
  readonly sentences: number;
  /** Tokens of all sentences, special ones included. */
  readonly tokens: number;
  /** Features of an embedding. */
  readonly dimensions: number;
  /** Whether the model does not say how tokens become one vector, so that their mean was taken. */
  readonly meanByDefault: boolean;
  /** Cosine of each sentence's two embeddings, -1 to 1. */
  readonly cosine: SentenceMeasure;
  /**
   * How alike both models order all other sentences by their similarity to one: Spearman's rank correlation, -1 to 1, of each sentence.
   * Of more than 2000 sentences the first 2000 are ranked.
   */
  readonly rank: SentenceMeasure;
}

/** Sentences whose similarities are ranked: all pairs are computed. */
const MAX_RANKED = 2000;

/**
 * Compares the embeddings of two models, on the same tokens.
 * @throws {InputError} for models that are no embedding models, cannot be run or compared, and a text without two sentences.
 */
export async function compareEmbeddingsWith(
  runtime: Runtime,
  model: Model,
  options: CompareEmbeddingsOptions,
): Promise<EmbeddingComparison> {
  const [own, reference] = await openBoth(model, options.against, options.signal);
  const tokenizer = await SentenceTokenizer.load(own);
  let left = options.maxTokens ?? Number.POSITIVE_INFINITY;
  const sentences = sentencesOf(options.text)
    .map((sentence) => tokenizer.encode(sentence).tokens)
    .filter(({ length }) => {
      left -= length;
      return left >= 0;
    });
  return compare(runtime, own, reference, { sentences, first: tokenizer.promptTokens }, options);
}

/** Sentences as tokens. */
export interface TokenizedSentences {
  /** Special tokens included. */
  readonly sentences: readonly ArrayLike<number>[];
  /** The first token that counts, if the model leaves prompts out. */
  readonly first: number;
}

/** Compares two models on tokenized sentences. @throws {InputError} as {@link compareEmbeddingsWith}. */
export async function compareOnTokens(
  runtime: Runtime,
  model: Model,
  against: Model,
  sentences: TokenizedSentences,
  options: RunOptions,
): Promise<EmbeddingComparison> {
  const [own, reference] = await openBoth(model, against, options.signal);
  return compare(runtime, own, reference, sentences, options);
}

async function openBoth(model: Model, against: Model, signal: AbortSignal | undefined) {
  for (const each of [model, against]) requireEmbeddings(each);
  const own = await openEmbeddingProgram(model, signal);
  const reference = await openEmbeddingProgram(against, signal);
  checkComparable(own, reference);
  return [own, reference] as const;
}

async function compare(
  runtime: Runtime,
  own: EmbeddingProgram,
  reference: EmbeddingProgram,
  { sentences, first }: TokenizedSentences,
  options: RunOptions,
): Promise<EmbeddingComparison> {
  if (sentences.length < 2)
    throw new InputError(`expected a text of at least two sentences, found ${sentences.length}`);
  const { signal } = options;
  const tokens = sumOf(sentences, ({ length }) => length);
  const meter = new Meter(options, 'evaluating', 2 * tokens, 'tokens');
  const embed = (program: EmbeddingProgram, before: number) =>
    embedTokens(runtime, program, sentences, {
      first,
      onProgress: (done) => meter.reach(before + done),
      signal,
    });
  const [ours, theirs] = [await embed(own, 0), await embed(reference, tokens)];
  return { model: own.model.id, ...comparedVectors(reference, sentences, ours, theirs) };
}

/** Compares embeddings with those of a reference, sentence by sentence. */
export function comparedVectors(
  { model, modules, plan }: EmbeddingProgram,
  sentences: TokenizedSentences['sentences'],
  ours: readonly Float32Array[],
  theirs: readonly Float32Array[],
): Omit<EmbeddingComparison, 'model'> {
  return {
    kind: 'embedding',
    against: model.id,
    sentences: sentences.length,
    tokens: sumOf(sentences, ({ length }) => length),
    dimensions: embeddingSize(modules, plan.hiddenSize),
    meanByDefault: modules.isDefault,
    cosine: measure(Float64Array.from(ours, (vector, i) => cosineOf(vector, theirs[i]!))),
    rank: measure(rankAgreements(ours.slice(0, MAX_RANKED), theirs.slice(0, MAX_RANKED))),
  };
}

function checkComparable(own: EmbeddingProgram, reference: EmbeddingProgram): void {
  const sizeOf = ({ modules, plan }: EmbeddingProgram) => embeddingSize(modules, plan.hiddenSize);
  if (sizeOf(own) !== sizeOf(reference))
    throw new InputError(
      `cannot compare embeddings of ${sizeOf(own)} features with those of ${reference.model.id}, ${sizeOf(reference)}`,
      { file: own.model.id },
    );
  if (own.plan.vocabulary !== reference.plan.vocabulary)
    throw new InputError(
      `cannot compare a vocabulary of ${own.plan.vocabulary} with that of ${reference.model.id}, ${reference.plan.vocabulary}`,
      { file: own.model.id },
    );
}

function measure(values: Float64Array): SentenceMeasure {
  const sorted = values.slice().sort();
  return {
    mean: sumOf(values, (value) => value) / values.length,
    standardError: errorOfMean(values),
    median: quantile(sorted, 0.5),
    p1: quantile(sorted, 0.01),
    min: sorted[0]!,
  };
}
