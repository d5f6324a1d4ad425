import type { Value } from '../../onnx/graph.js';
import type { Use } from '../attention.js';
import { isAttention, type Layer, type Norm, type Settings } from '../settings.js';
import type { Slot } from '../slots.js';
import { buildConvolution } from './convolution.js';
import { buildExperts } from './experts.js';
import { buildMixer } from './mixer.js';
import { buildMlp } from './mlp.js';
import type { Tensors } from './tensors.js';

/** Builds one layer, from hidden states to hidden states. */
export function buildLayer(
  tensors: Tensors,
  { hiddenSize }: Settings,
  layer: Layer,
  x: Value,
  use: Use,
): Value {
  const { g } = tensors;
  const { order, norms, branchScale, residualOfNorm } = layer;
  const norm = (slot: Slot, given: Norm | undefined, value: Value) =>
    given ? tensors.norm(slot, value, hiddenSize, given) : value;
  const scaled = (branch: Value) =>
    branchScale === undefined ? branch : g.multiply(branch, g.scalar(branchScale));
  const mix = (value: Value) => {
    const { mixer } = layer;
    const mixed = isAttention(mixer)
      ? buildMixer(tensors, mixer, hiddenSize, value, use)
      : buildConvolution(tensors, mixer, hiddenSize, value, use);
    return scaled(norm('attentionOutNorm', norms.attentionOut, mixed));
  };
  const feed = (value: Value) => {
    const { mlp } = layer;
    const fed =
      mlp.kind === 'dense'
        ? buildMlp(tensors, mlp, hiddenSize, value)
        : buildExperts(tensors, mlp, hiddenSize, value);
    return scaled(norm('mlpOutNorm', norms.mlpOut, fed));
  };
  if (order === 'post') {
    const attended = norm('attentionNorm', norms.attention, g.add(x, mix(x)));
    return norm('mlpNorm', norms.mlp, g.add(attended, feed(attended)));
  }
  const normed = norm('attentionNorm', norms.attention, x);
  const attended = g.add(residualOfNorm ? normed : x, mix(normed));
  if (order === 'parallel') return g.add(attended, feed(norms.mlp ? norm('mlpNorm', norms.mlp, x) : normed));
  const again = norm('mlpNorm', norms.mlp, attended);
  return g.add(residualOfNorm ? again : attended, feed(again));
}
