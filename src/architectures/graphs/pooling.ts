import { findActivation } from '../../onnx/activations.js';
import type { Graph, Value } from '../../onnx/graph.js';
import type { EmbeddingPlan, EmbeddingStep, PoolingMode } from '../pooling.js';

/** Returns the name of the graph's input with a mode's weights of tokens, [sequence, 1]. */
export const weightsInput = (mode: PoolingMode) => `pooling_${mode}`;

/** Keeps the length of zeros from being divided by. */
const TINY = 1e-24;

/**
 * Builds the embeddings of sentences of one length, [batch, 1, features], from their hidden states [batch, sequence, hidden].
 * Matrices of dense layers are inputs of the graph: they are not tensors of the checkpoint.
 */
export function buildPooling(g: Graph, { modes, steps }: EmbeddingPlan, hidden: Value): Value {
  const pooled = modes.map((mode) => {
    const weights = g.input(weightsInput(mode), ['sequence', 1]);
    const [combine, reduce] =
      mode === 'max' ? (['Add', 'ReduceMax'] as const) : (['Mul', 'ReduceSum'] as const);
    return g.operation(reduce, [g.operation(combine, [hidden, weights]), g.integers([1])], { keepdims: 1 });
  });
  const first = pooled.length > 1 ? g.concat(pooled, 2) : pooled[0]!;
  return steps.reduce((x, step) => buildStep(g, step, x), first);
}

function buildStep(g: Graph, step: EmbeddingStep, x: Value): Value {
  if (step.kind === 'normalize') return buildUnit(g, x);
  const { inputs, outputs, activation, bias, matrix, vector } = step;
  const product = g.matmulTransposed(x, g.input(matrix, [outputs, inputs]));
  const sum = bias ? g.add(product, g.input(vector, [outputs])) : product;
  return activation === undefined ? sum : findActivation(activation)(g, sum);
}

/** Divides vectors by their lengths. */
export function buildUnit(g: Graph, x: Value): Value {
  const square = g.operation('ReduceSum', [g.multiply(x, x), g.integers([-1])], { keepdims: 1 });
  return g.operation('Div', [x, g.operation('Sqrt', [g.add(square, g.scalar(TINY))])]);
}
