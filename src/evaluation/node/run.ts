import type { Model } from '../../core/model.js';
import { type GenerateOptions, type Generation, generateWith } from '../../inference/generate.js';
import { nodeRuntime } from '../../onnx/node/runtime.js';
import '../../tokenizer/node/deadline.js';
import { type EvaluateOptions, type Evaluation, evaluateWith } from '../evaluate.js';

/** As {@link evaluateWith}, on this machine's processors. @throws {InputError} */
export function evaluate(model: Model, options: EvaluateOptions): Promise<Evaluation> {
  return evaluateWith(nodeRuntime, model, options);
}

/** As {@link generateWith}, on this machine's processors. @throws {InputError} */
export function generate(
  model: Model,
  prompt: string | readonly number[],
  options?: GenerateOptions,
): Promise<Generation> {
  return generateWith(nodeRuntime, model, prompt, options);
}
