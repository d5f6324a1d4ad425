import type { Graph, Value } from '../onnx/graph.js';
import type { Attend } from './attention.js';
import type { Dimensions } from './dimensions.js';
import type { Rotary } from './rotary.js';

export type Config = Readonly<Record<string, unknown>>;

/**
 * A family's arithmetic. Hidden states are [batch, sequence, hidden]; tensors are named as in the checkpoint,
 * without the family's prefix, inside a block relative to its layer.
 */
export interface ForwardFamily {
  /** The `model_type`s of config.json that compute this way. */
  readonly modelTypes: readonly string[];
  /** @throws {InputError} for a config that lacks a needed field or asks for what is not built. */
  plan(config: Config, size: Dimensions): ForwardPlan;
}

/** A family's arithmetic for the numbers of one config. */
export interface ForwardPlan {
  /** Causal models predict the next token, masked ones the token under a mask. */
  readonly kind: 'causal' | 'masked';
  /** The longest input, in tokens. */
  readonly context: number;
  /** The index of the first token in the position table. */
  readonly firstPosition: number;
  /** Rotary positions, for families that turn queries and keys. */
  readonly rotary?: Rotary;
  /** What the names of a layer's tensors begin with: `h.3.`. */
  layerPrefix(layer: number): string;
  /** How many keys, its own included, a query of this layer sees; undefined when all before it. */
  window?(layer: number): number | undefined;
  /** Tensors that may be stored twice, as torch saves what modules share, and the one that is computed with. */
  readonly copies?: Readonly<Record<string, string>>;
  /** Stored tensors that no logit depends on: masks and frequencies, which are computed, and other heads. */
  readonly unneeded?: RegExp;
  /** `tokens` is [batch, sequence], `positions` [sequence], both int64. */
  embed(g: Graph, tokens: Value, positions: () => Value): Value;
  block(g: Graph, x: Value, attend: Attend): Value;
  /** Hidden states to logits [batch, sequence, vocabulary]. */
  head(g: Graph, x: Value): Value;
}
