import type { Rotary } from './rotary.js';
import type { Names } from './slots.js';

/** A norm over features. */
export interface Norm {
  /** `rms` divides by the root mean square, `layer` also subtracts the mean. */
  readonly kind: 'rms' | 'layer';
  readonly epsilon: number;
  /** Whether a bias is added. */
  readonly bias: boolean;
  /** Whether the scale is 1 + weight, as in Gemma. */
  readonly plusOne?: boolean;
}

/** How queries, keys and values are computed from hidden states. */
export type Projection =
  /** Three matrices. */
  | { readonly kind: 'separate' }
  /** One matrix: all queries, then all keys, then all values. */
  | { readonly kind: 'fused' }
  /** One matrix: for each head of keys its queries, its key and its value. */
  | { readonly kind: 'grouped' }
  /** One matrix in `parts`: queries, values and keys of each. */
  | { readonly kind: 'parts'; readonly parts: number }
  /** Low-rank products: DeepSeek's latent attention. Keys are `headSize` features, of which the last `rotated` are shared by all heads. */
  | {
      readonly kind: 'latent';
      /** Rank of the queries; undefined for a full matrix. */
      readonly queryRank: number | undefined;
      readonly rank: number;
      readonly rotated: number;
      readonly norm: Norm;
      /** Whether the first of the two products has a bias. */
      readonly bias: boolean;
    };

/** Attention of a layer. */
export interface Attention {
  readonly causal: boolean;
  /** Whether an encoder's layer has a mask: for a window, or scores by distance. */
  readonly masked?: boolean;
  /** Whether each head has a mask of its own. */
  readonly maskByHead?: boolean;
  readonly heads: number;
  readonly keyValueHeads: number;
  /** Features of a query and a key. */
  readonly headSize: number;
  /** Features of a value. */
  readonly valueSize: number;
  readonly projection: Projection;
  /** Whether queries, keys and values have biases. */
  readonly bias: boolean;
  readonly outputBias: boolean;
  /** Multiplies the scores. */
  readonly scale: number;
  /** Norm of queries and keys: of each head, of all heads together, or of each head with its own weights, in one tensor or in many. */
  readonly queryKeyNorm?: { readonly over: 'head' | 'all' | 'eachHead' | 'listedHeads'; readonly norm: Norm };
  /** Rotated features of each head, and whether neighbors or halves are pairs. */
  readonly rotary?: { readonly size: number; readonly pairs: 'halves' | 'neighbors' };
  /** Scores are cap x tanh(scores / cap). */
  readonly softcap?: number;
  /** Whether each head has a score that takes attention from all keys. */
  readonly sinks?: boolean;
  /** Bound of the absolute values of queries, keys and values. */
  readonly clip?: number;
  /** Buckets of distances with a learned score per head, from a table that all layers share. */
  readonly relative?: { readonly buckets: number };
}

/** A gated short convolution over time, which takes the place of attention in some layers. */
export interface Convolution {
  readonly taps: number;
  readonly bias: boolean;
}

/** A feed-forward network. */
export interface Mlp {
  readonly kind: 'dense';
  /** Inner features. */
  readonly size: number;
  /** Name of the activation in config.json. */
  readonly activation: string;
  /** `separate`: activation(gate) x up; `fused`: the same from one matrix, gate first. */
  readonly gate: 'none' | 'separate' | 'fused';
  readonly bias: boolean;
}

/** Experts, of which a router chooses some for each token. */
export interface Experts {
  readonly kind: 'experts';
  readonly count: number;
  /** Experts per token. */
  readonly active: number;
  /** Whether the scores are a softmax over all experts, over the chosen ones, or a sigmoid each. */
  readonly scoring: 'softmax' | 'softmaxOfChosen' | 'sigmoid';
  /** Whether the weights of the chosen experts are divided by their sum. */
  readonly normalize: boolean;
  /** Multiplies the weights of the chosen experts. */
  readonly scale: number;
  /** Only the best groups of experts are chosen from; a group's score is its largest, or the sum of its two largest. */
  readonly groups?: {
    readonly count: number;
    readonly active: number;
    readonly by: 'largest' | 'twoLargest';
  };
  /** Whether a stored bias is added to the scores for the choice alone. */
  readonly choiceBias: boolean;
  readonly routerBias: boolean;
  readonly expert: Mlp;
  /**
   * `each`: own tensors for each expert; `stacked`: one tensor [experts, ...] for each matrix; `stackedColumns`: the same with each
   * matrix stored [inputs, outputs] and gate and up interleaved.
   */
  readonly stored: 'each' | 'stacked' | 'stackedColumns';
  /** Bound of gate and up, and the gain of the gate's sigmoid, as in gpt-oss. */
  readonly clamped?: { readonly limit: number; readonly gain: number };
  /** An expert that every token passes, with its own gate or not. */
  readonly shared?: { readonly expert: Mlp; readonly gated: boolean };
}

/** One layer. Layers with equal settings share a graph. */
export interface Layer {
  /** `pre`: norms before attention and MLP; `post`: after each residual sum; `parallel`: attention and MLP of the same input. */
  readonly order: 'pre' | 'post' | 'parallel';
  /** The norms that exist; those named `...Out` are of the branch's output, before the residual sum. */
  readonly norms: {
    readonly attention?: Norm;
    readonly attentionOut?: Norm;
    readonly mlp?: Norm;
    readonly mlpOut?: Norm;
  };
  /** Whether the residual is the normed input, as in some BLOOM models. */
  readonly residualOfNorm?: boolean;
  /** Multiplies the branches before the residual sum. */
  readonly branchScale?: number;
  readonly mixer: Attention | Convolution;
  readonly mlp: Mlp | Experts;
}

/** Everything that a forward pass needs to know from config.json, in the same words for all families. */
export interface Settings {
  /** Causal models predict the next token, masked ones the masked token; encoders end at their hidden states. */
  readonly kind: 'causal' | 'masked';
  /** Maximum length of the input in tokens. */
  readonly context: number;
  readonly vocabulary: number;
  readonly hiddenSize: number;
  readonly embedding: {
    /** Features of the token table. */
    readonly size: number;
    /** A product from `size` to `hiddenSize` features: of the tokens, or of the normed sum if there is a norm. */
    readonly project?: { readonly bias: boolean };
    readonly scale?: number;
    /** A learned table of positions; the first `offset` rows are reserved. */
    readonly positions?: { readonly rows: number; readonly offset: number };
    /** Rows of the token type table; all tokens have type 0. */
    readonly types?: number;
    readonly norm?: Norm;
  };
  readonly layers: readonly Layer[];
  /** What the positions of a layer give it, beside its graph. */
  readonly positions: readonly LayerPositions[];
  readonly finalNorm?: Norm;
  readonly head: Head;
  /** Matches further stored tensors that logits do not depend on. */
  readonly unneeded?: RegExp;
  /** Names that differ from the family's with this config. */
  readonly names?: Names;
}

/** Inputs of a layer's graph that depend on positions. */
export interface LayerPositions {
  /** Number of tokens that a query sees, its own included; undefined for all. Without causality, tokens on each side. */
  readonly window?: number | undefined;
  readonly rotary?: Rotary | undefined;
  /** What is added to the scores of each head. */
  readonly bias?: DistanceBias | undefined;
  /** Maximum distance with a bucket of its own, for learned scores of distances. */
  readonly maxDistance?: number | undefined;
}

/** A number for each head, key and query, which depends on their distance, or on the key and a number that all keys of a query share. */
export interface DistanceBias {
  readonly heads: number;
  of(head: number, key: number, query: number): number;
}

/** From hidden states to logits. */
export interface Head {
  /** Whether the output matrix is the token embedding. */
  readonly tied: boolean;
  /** Features of the output matrix; hidden states of another size are projected. */
  readonly size: number;
  readonly bias: boolean;
  readonly scale?: number;
  readonly softcap?: number;
  /** A dense layer, an activation and a norm before the output matrix, as in BERT. */
  readonly transform?: { readonly activation: string; readonly norm: Norm; readonly bias: boolean };
}

/** Returns whether a mixer is attention. */
export function isAttention(mixer: Layer['mixer']): mixer is Attention {
  return 'heads' in mixer;
}
