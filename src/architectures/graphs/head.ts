import { findActivation } from '../../onnx/activations.js';
import type { Value } from '../../onnx/graph.js';
import type { Settings } from '../settings.js';
import type { Tensors } from './tensors.js';

/** Builds what follows the last layer: the final norm, and the projection to another size. */
export function buildFinal(tensors: Tensors, { hiddenSize, finalNorm }: Settings, x: Value): Value {
  return finalNorm ? tensors.norm('finalNorm', x, hiddenSize, finalNorm) : x;
}

/** Builds the head, from hidden states to logits [batch, sequence, vocabulary]. */
export function buildHead(tensors: Tensors, settings: Settings, hidden: Value): Value {
  const { g } = tensors;
  const { hiddenSize, vocabulary, head } = settings;
  const { size, transform, scale, softcap } = head;
  let x = buildFinal(tensors, settings, hidden);
  if (transform) {
    const dense = tensors.linear('headDense', x, size, hiddenSize, transform.bias);
    x = tensors.norm('headNorm', findActivation(transform.activation)(g, dense), size, transform.norm);
  } else if (size !== hiddenSize) x = tensors.linear('projectOut', x, size, hiddenSize, false);
  const matrix = tensors.tensor(head.tied ? 'tokens' : 'output', [vocabulary, size]);
  let logits = g.matmulTransposed(x, matrix);
  if (head.bias) logits = g.add(logits, tensors.tensor('headBias', [vocabulary], '.bias'));
  if (scale !== undefined) logits = g.multiply(logits, g.scalar(scale));
  if (softcap === undefined) return logits;
  const capped = g.operation('Tanh', [g.multiply(logits, g.scalar(1 / softcap))]);
  return g.multiply(capped, g.scalar(softcap));
}
