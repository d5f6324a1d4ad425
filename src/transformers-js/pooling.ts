import { weightsInput } from '../architectures/graphs/pooling.js';
import { HIDDEN, type PoolingMode } from '../architectures/pooling.js';
import type { Value } from '../onnx/graph.js';
import type { ModelGraph } from './model-graph.js';

/** Computes the weights of tokens in the vectors of pooling modes, [batch, sequence, 1], from a mask with 0 for padding. */
export function poolingWeights(
  g: ModelGraph,
  modes: readonly PoolingMode[],
  attentionMask: Value,
): Record<string, Value> {
  const counted = g.cast(g.operation('Unsqueeze', [attentionMask, g.integers([2])]));
  return Object.fromEntries(modes.map((mode) => [weightsInput(mode), WEIGHTS[mode](g, counted)]));
}

const sumOf = (g: ModelGraph, x: Value) => g.operation('ReduceSum', [x, g.integers([1])], { keepdims: 1 });
/** Numbers tokens that count from 1. */
const placesOf = (g: ModelGraph, counted: Value) =>
  g.multiply(counted, g.operation('CumSum', [counted, g.integer(1)]));
const share = (g: ModelGraph, x: Value) => g.operation('Div', [x, sumOf(g, x)]);
/** Returns 1 for the token with this number, else 0. */
const marked = (g: ModelGraph, x: Value, number: Value) => g.cast(g.operation('Equal', [x, number]));

const WEIGHTS: Readonly<Record<PoolingMode, (g: ModelGraph, counted: Value) => Value>> = {
  cls: (g, counted) => marked(g, placesOf(g, counted), g.scalar(1)),
  max: (g, counted) => g.multiply(g.subtract(g.scalar(1), counted), g.scalar(HIDDEN)),
  mean: share,
  mean_sqrt_len_tokens: (g, counted) =>
    g.operation('Div', [counted, g.operation('Sqrt', [sumOf(g, counted)])]),
  weightedmean: (g, counted) => share(g, placesOf(g, counted)),
  lasttoken: (g, counted) => marked(g, placesOf(g, counted), sumOf(g, counted)),
};
