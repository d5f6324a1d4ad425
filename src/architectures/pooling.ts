/** How hidden states of tokens become one vector, in sentence-transformers' words. */
export const POOLING_MODES = [
  'cls',
  'max',
  'mean',
  'mean_sqrt_len_tokens',
  'weightedmean',
  'lasttoken',
] as const;
export type PoolingMode = (typeof POOLING_MODES)[number];

/** A step after pooling. */
export type EmbeddingStep =
  | { readonly kind: 'normalize' }
  | {
      readonly kind: 'dense';
      readonly inputs: number;
      readonly outputs: number;
      /** Name of the activation in config.json; undefined for none. */
      readonly activation: string | undefined;
      readonly bias: boolean;
      /** Names of the graph's inputs with the matrix [outputs, inputs] and the bias [outputs]. */
      readonly matrix: string;
      readonly vector: string;
    };

/** From the hidden states of a sentence to its embedding. */
export interface EmbeddingPlan {
  /** The vectors of several modes are concatenated. */
  readonly modes: readonly PoolingMode[];
  /** Whether the tokens of a prompt before the sentence are pooled too. */
  readonly includePrompt: boolean;
  readonly steps: readonly EmbeddingStep[];
}

/** Returns the number of features of an embedding. */
export function embeddingSize({ modes, steps }: EmbeddingPlan, hiddenSize: number): number {
  return steps.reduce(
    (size, step) => (step.kind === 'dense' ? step.outputs : size),
    modes.length * hiddenSize,
  );
}

/**
 * Returns the weight of each token in a mode's vector, [length]; for `max`, what is added to its features: 0, or much below any for a
 * token that does not count.
 * @param first the first token that counts.
 */
export function tokenWeights(mode: PoolingMode, length: number, first = 0): Float32Array {
  const count = length - first;
  const weigh = WEIGHTS[mode];
  const sum = ((first + 1 + length) * count) / 2;
  return Float32Array.from({ length }, (_, i) => weigh(i, { first, length, count, sum }));
}

interface Counted {
  readonly first: number;
  readonly length: number;
  /** Tokens that count, and the sum of their positions from 1. */
  readonly count: number;
  readonly sum: number;
}

/** Added to the features of a token that does not count: below any feature. */
export const HIDDEN = -1e30;

const WEIGHTS: Readonly<Record<PoolingMode, (i: number, counted: Counted) => number>> = {
  cls: (i, { first }) => (i === first ? 1 : 0),
  max: (i, { first }) => (i < first ? HIDDEN : 0),
  mean: (i, { first, count }) => (i < first ? 0 : 1 / count),
  mean_sqrt_len_tokens: (i, { first, count }) => (i < first ? 0 : 1 / Math.sqrt(count)),
  weightedmean: (i, { first, sum }) => (i < first ? 0 : (i + 1) / sum),
  lasttoken: (i, { length }) => (i === length - 1 ? 1 : 0),
};
