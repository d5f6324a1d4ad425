import type { Model } from '../../core/model.js';
import { type GenerateOptions, type Generation, generateWith } from '../../inference/generate.js';
import type { Prompt } from '../../inference/prompt.js';
import { loadRuntime } from '../../onnx/node/runtime.js';
import '../../tokenizer/node/deadline.js';
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
