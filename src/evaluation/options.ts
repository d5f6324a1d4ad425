import type { Model } from '../core/model.js';
import type { RunOptions } from '../core/progress.js';
import type { RunningEstimate } from './running.js';

/** Options of `evaluate`. */
export interface EvaluateOptions extends RunOptions {
  /** The text, tokenized whole with the model's tokenizer; or `tokens` instead. */
  readonly text?: string | undefined;
  /** Token ids, instead of a text. */
  readonly tokens?: ArrayLike<number> | undefined;
  /** The reference model. */
  readonly against?: Model | undefined;
  /** Path of stored logits of the reference, instead of running it. */
  readonly logits?: string | undefined;
  /** Path to store logits under: those of the reference, without one those of the model. */
  readonly saveLogits?: string | undefined;
  /** Replaces an existing file of stored logits. */
  readonly force?: boolean | undefined;
  /** Tokens per window; by default those of the stored logits, without them the context, at most 2048. */
  readonly window?: number | undefined;
  /** Uses no more than the first so many tokens; by default as many as there are stored logits for, without them all. */
  readonly maxTokens?: number | undefined;
  /** For a causal model: predicts the second half of each window only, as llama.cpp's perplexity tool does. */
  readonly secondHalf?: boolean | undefined;
  /** For a masked model with `tokens`: the id of the mask token. */
  readonly maskToken?: number | undefined;
  /** Called after each window with the measures so far. Models run layer by layer, so the first call comes after the last layer. */
  readonly onWindow?: ((estimate: RunningEstimate) => void) | undefined;
}
