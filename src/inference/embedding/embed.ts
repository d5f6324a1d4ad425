import { BLOCK_INPUTS } from '../../architectures/attention.js';
import { embeddingSize } from '../../architectures/pooling.js';
import { InputError } from '../../core/errors.js';
import type { Model } from '../../core/model.js';
import { Meter, type RunOptions } from '../../core/progress.js';
import { sumOf } from '../../core/sum.js';
import { floatsOf, type Runtime } from '../../onnx/runtime.js';
import { loadWeights } from '../block-inputs.js';
import { streamHidden } from '../stream.js';
import { type EmbeddingProgram, isEmbeddingModel, openEmbeddingProgram, poolingFeeds } from './program.js';
import { SentenceTokenizer } from './tokens.js';

/** Options of `embed`. */
export interface EmbedOptions extends RunOptions {
  /** Name of one of the model's prompts, which is put before every text; by default the model's own choice, usually none. */
  readonly prompt?: string | undefined;
}

/** Embeddings of texts. */
export interface Embeddings {
  /** The path, address or name that the model was opened by. */
  readonly model: string;
  /** Features of an embedding. */
  readonly dimensions: number;
  /** Tokens of all texts, special ones included. */
  readonly tokens: number;
  /** Texts with more tokens than the model takes, whose ends were left out. */
  readonly cut: number;
  /** Whether the model does not say how tokens become one vector, so that their mean was taken. */
  readonly meanByDefault: boolean;
  /** The embedding of each text, in order. */
  readonly embeddings: readonly Float32Array[];
}

/**
 * Computes embeddings of texts.
 * @throws {InputError} for a model that is no embedding model or cannot be run, and for a text without tokens.
 */
export async function embedWith(
  runtime: Runtime,
  model: Model,
  texts: readonly string[],
  options: EmbedOptions = {},
): Promise<Embeddings> {
  requireEmbeddings(model);
  const program = await openEmbeddingProgram(model, options.signal);
  const tokenizer = await SentenceTokenizer.load(program, options.prompt);
  const sentences = texts.map((text) => tokenizer.encode(text));
  const tokens = sentences.map((sentence) => sentence.tokens);
  const meter = new Meter(
    options,
    'embedding',
    sumOf(tokens, ({ length }) => length),
    'tokens',
  );
  const embeddings = await embedTokens(runtime, program, tokens, {
    first: tokenizer.promptTokens,
    onProgress: (done) => meter.reach(done),
    signal: options.signal,
  });
  return {
    model: model.id,
    dimensions: embeddingSize(program.modules, program.plan.hiddenSize),
    tokens: sumOf(tokens, ({ length }) => length),
    cut: sentences.filter(({ isCut }) => isCut).length,
    meanByDefault: program.modules.isDefault,
    embeddings,
  };
}

/** @throws {InputError} for a model that gives no embeddings. */
export function requireEmbeddings(model: Model): void {
  if (!isEmbeddingModel(model))
    throw new InputError(
      'is no embedding model: expected modules.json of sentence-transformers, or an encoder without a head',
      { file: model.id },
    );
}

export interface EmbedTokensOptions {
  /** The first token that counts, if the model leaves prompts out. */
  readonly first?: number;
  /** Called with the number of tokens done. */
  readonly onProgress?: (tokens: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Tokens that run together: their hidden states are in memory. */
const CHUNK_TOKENS = 2 ** 16;

/** Computes the embeddings of tokenized sentences, in order; they run by length. @throws {InputError} for tokens that do not fit the model. */
export async function embedTokens(
  runtime: Runtime,
  program: EmbeddingProgram,
  sentences: readonly ArrayLike<number>[],
  { first = 0, onProgress, signal }: EmbedTokensOptions = {},
): Promise<Float32Array[]> {
  checkSentences(program, sentences);
  const order = sentences
    .map((_, i) => i)
    .sort((a, b) => sentences[a]!.length - sentences[b]!.length || a - b);
  const embeddings = new Array<Float32Array>(sentences.length);
  const pool = await Pool.load(runtime, program, first, signal);
  const steps = program.plan.layers.length + 1;
  let done = 0;
  try {
    for (const chunk of chunksOf(order, sentences)) {
      const windows = chunk.map((i) => sentences[i]!);
      const onTokens = (tokenLayers: number) => onProgress?.(done + tokenLayers / steps);
      const hidden = await streamHidden(runtime, program, windows, { onProgress: onTokens, signal });
      for (const [at, i] of chunk.entries())
        embeddings[i] = await pool.embed(hidden.window(at), windows[at]!.length);
      done += sumOf(windows, ({ length }) => length);
    }
  } finally {
    await pool.release();
  }
  return embeddings;
}

function chunksOf(order: readonly number[], sentences: readonly ArrayLike<number>[]): number[][] {
  const chunks: number[][] = [];
  let left = 0;
  for (const i of order) {
    left -= sentences[i]!.length;
    if (left < 0) {
      chunks.push([]);
      left = CHUNK_TOKENS - sentences[i]!.length;
    }
    chunks.at(-1)!.push(i);
  }
  return chunks;
}

function checkSentences({ plan, model }: EmbeddingProgram, sentences: readonly ArrayLike<number>[]): void {
  for (const sentence of sentences) {
    if (!(sentence.length > 0 && sentence.length <= plan.context))
      throw new InputError(`expected sentences of 1 to ${plan.context} tokens, found ${sentence.length}`, {
        file: model.id,
      });
    const wrong = Array.from(sentence).find((token) => !(token >= 0 && token < plan.vocabulary));
    if (wrong !== undefined)
      throw new InputError(`token ${wrong} is not in the vocabulary of ${plan.vocabulary}`, {
        file: model.id,
      });
  }
}

/** A loaded graph of sentences. */
class Pool {
  private constructor(
    private readonly runtime: Runtime,
    private readonly program: EmbeddingProgram,
    private readonly first: number,
    private readonly session: Awaited<ReturnType<Runtime['session']>>,
    private readonly weights: Awaited<ReturnType<typeof loadWeights>>,
  ) {}

  static async load(runtime: Runtime, program: EmbeddingProgram, first: number, signal?: AbortSignal) {
    const weights = await loadWeights(runtime, program, program.sentences.weights, signal);
    const session = await runtime.session(program.sentences.graph.encode());
    return new Pool(runtime, program, first, session, weights);
  }

  /** Computes an embedding from the hidden states [length, hidden] of a sentence. */
  async embed(hidden: Float32Array, length: number): Promise<Float32Array> {
    const { runtime, program, first, session, weights } = this;
    const { embedding } = await session.run({
      ...weights,
      ...poolingFeeds(runtime, program.modules, length, Math.min(first, length - 1)),
      [BLOCK_INPUTS.hidden]: runtime.floats(hidden, [1, length, program.plan.hiddenSize]),
    });
    return floatsOf(embedding).slice();
  }

  release(): Promise<void> {
    return this.session.release();
  }
}
