import type { Config } from '../core/json.js';
import type { Graph, Value } from '../onnx/graph.js';
import type { Attend } from './attention.js';
import type { Dimensions } from './dimensions.js';
import type { Rotary } from './rotary.js';

/**
 * The forward pass of a family. Hidden states are [batch, sequence, hidden]. Tensors are named as in checkpoints, without the family's
 * prefix and, in a block, without the layer's.
 */
export interface ForwardFamily {
  /** Values of `model_type` in config.json. */
  readonly modelTypes: readonly string[];
  /** Returns the forward pass for a config. @throws {InputError} when a field is missing or has an unsupported value. */
  plan(config: Config, size: Dimensions): ForwardPlan;
}

/** The forward pass for one config. */
export interface ForwardPlan {
  /** Causal models predict the next token, masked ones the masked token. */
  readonly kind: 'causal' | 'masked';
  /** Maximum length of the input in tokens. */
  readonly context: number;
  /** Row of the position table for the first token. */
  readonly firstPosition: number;
  /** Rotary positions, for families that use them. */
  readonly rotary?: Rotary;
  /** Returns the prefix of a layer's tensors, such as `h.3.`. */
  layerPrefix(layer: number): string;
  /** Returns the attention window of a layer in tokens, the query's own included; undefined for full attention. */
  window?(layer: number): number | undefined;
  /** Names of tensors that may be stored twice, because modules share them, and the name of the one that is used. */
  readonly copies?: Readonly<Record<string, string>>;
  /** Matches stored tensors that logits do not depend on: masks, frequencies and other heads. */
  readonly unneeded?: RegExp;
  /** Builds the embedding. `tokens` is [batch, sequence], `positions` [sequence], both int64. */
  embed(g: Graph, tokens: Value, positions: () => Value): Value;
  /** Builds one layer. */
  block(g: Graph, x: Value, attend: Attend): Value;
  /** Builds the head, from hidden states to logits [batch, sequence, vocabulary]. */
  head(g: Graph, x: Value): Value;
}
