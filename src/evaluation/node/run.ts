import type { Model } from '../../core/model.js';
import { type Embeddings, type EmbedOptions, embedWith } from '../../inference/embedding/embed.js';
import { type GenerateOptions, type Generation, generateWith } from '../../inference/generate.js';
import type { Prompt } from '../../inference/prompt.js';
import { loadRuntime } from '../../onnx/node/runtime.js';
import '../../tokenizer/node/deadline.js';
import {
  type CompareEmbeddingsOptions,
  compareEmbeddingsWith,
  type EmbeddingComparison,
} from '../embedding/compare.js';
import { type Evaluation, evaluateWith } from '../evaluate.js';
import type { EvaluateOptions } from '../options.js';
import { LOGITS_FILES } from './logits-file.js';

/**
 * Measures the perplexity of a model on a text, and its divergence from a reference if there is one, on the CPU. Models run layer by
 * layer; logits are stored only with `saveLogits`.
 * @throws {InputError} for models that cannot be run or compared, a text that is too short, and stored logits that do not belong to it.
 * @throws the signal's reason once it is aborted.
 */
export async function evaluate(model: Model, options: EvaluateOptions): Promise<Evaluation> {
  return evaluateWith(await loadRuntime(), LOGITS_FILES, model, options);
}

/**
 * Continues a prompt, on the CPU.
 * @param prompt text, token ids, or the messages of a chat.
 * @throws {InputError} for a model that cannot be run, settings out of range, and a prompt that is empty or too long.
 * @throws the signal's reason once it is aborted.
 */
export async function generate(model: Model, prompt: Prompt, options?: GenerateOptions): Promise<Generation> {
  return generateWith(await loadRuntime(), model, prompt, options);
}

/**
 * Computes embeddings of texts with an embedding model, on the CPU: sentence-transformers' layout, or an encoder without a head, whose
 * tokens are averaged.
 * @throws {InputError} for a model that is no embedding model or cannot be run, and for a text without tokens.
 * @throws the signal's reason once it is aborted.
 */
export async function embed(
  model: Model,
  texts: readonly string[],
  options?: EmbedOptions,
): Promise<Embeddings> {
  return embedWith(await loadRuntime(), model, texts, options);
}

/**
 * Compares the embeddings of a model with those of a reference model, on the CPU: cosines, and how alike they order similarities.
 * @throws {InputError} for models that are no embedding models, cannot be run or compared, and a text without two sentences.
 * @throws the signal's reason once it is aborted.
 */
export async function compareEmbeddings(
  model: Model,
  options: CompareEmbeddingsOptions,
): Promise<EmbeddingComparison> {
  return compareEmbeddingsWith(await loadRuntime(), model, options);
}
