import type { Model } from '../../core/model.js';
import { type GenerateOptions, type Generation, generateWith } from '../../inference/generate.js';
import { nodeRuntime } from '../../onnx/node/runtime.js';
import '../../tokenizer/node/deadline.js';
import { type EvaluateOptions, type Evaluation, evaluateWith } from '../evaluate.js';

/** Evaluates a model on the CPU. @throws {InputError} as {@link evaluateWith}. */
export function evaluate(model: Model, options: EvaluateOptions): Promise<Evaluation> {
  return evaluateWith(nodeRuntime, model, options);
}

/** Generates text on the CPU. @throws {InputError} as {@link generateWith}. */
export function generate(
  model: Model,
  prompt: string | readonly number[],
  options?: GenerateOptions,
): Promise<Generation> {
  return generateWith(nodeRuntime, model, prompt, options);
}
