import type { Graph, Value } from '../../onnx/graph.js';
import type { Experts } from '../settings.js';
import { expertOf } from './expert.js';
import { buildMlp } from './mlp.js';
import type { Tensors } from './tensors.js';

/** Name of the mark of which experts each token passes, [tokens, experts], ones and zeros. */
export const CHOSEN = 'chosen experts';

/**
 * Builds a mixture of experts. Each expert computes only the tokens that chose it, so that its matrices see their own inputs, and
 * work does not grow with the number of experts.
 */
export function buildExperts(tensors: Tensors, experts: Experts, hiddenSize: number, x: Value): Value {
  const { g } = tensors;
  const flat = g.reshape(x, [-1, hiddenSize]);
  const { chosen, weights } = route(tensors, experts, hiddenSize, flat);
  g.mark(CHOSEN, chosen);
  // One more token, of zeros, passes every expert with weight zero: reductions over no rows are wrong in ONNX Runtime.
  const zeros = (columns: number) => g.operation('Expand', [g.scalar(0), g.integers([1, columns])]);
  const last = g.operation('Shape', [flat], { start: 0, end: 1 });
  const tokens = g.concat([flat, zeros(hiddenSize)], 0);
  let sum = g.operation('Expand', [g.scalar(0), g.operation('Shape', [tokens])]);
  for (let expert = 0; expert < experts.count; expert++) {
    const isChosen = g.reshape(g.slice(chosen, expert, expert + 1, 1), [-1]);
    const rows = g.concat([g.reshape(g.operation('NonZero', [isChosen]), [-1]), last], 0);
    const out = expertOf(tensors, experts, expert)(g.gather(tokens, rows), hiddenSize);
    const weight = g.gather(g.concat([g.slice(weights, expert, expert + 1, 1), zeros(1)], 0), rows);
    const weighted = g.multiply(out, g.expand(weight, g.operation('Shape', [out]), [1]));
    sum = g.scatterAdd(sum, rows, weighted);
  }
  const routed = g.operation('Reshape', [g.slice(sum, 0, -1, 0), g.operation('Shape', [x])]);
  return experts.shared ? g.add(routed, buildShared(tensors, experts.shared, hiddenSize, x)) : routed;
}

/** Builds the expert that every token passes. */
function buildShared(
  tensors: Tensors,
  { expert, gated }: NonNullable<Experts['shared']>,
  hiddenSize: number,
  x: Value,
): Value {
  const { g } = tensors;
  const slots = { gate: 'sharedGate', up: 'sharedUp', gateUp: 'sharedUp', down: 'sharedDown' } as const;
  const out = buildMlp(tensors, expert, hiddenSize, x, slots);
  if (!gated) return out;
  const gate = g.operation('Sigmoid', [tensors.linear('sharedRouter', x, 1, hiddenSize, false)]);
  return g.multiply(out, g.expand(gate, g.operation('Shape', [out]), [2]));
}

/** Chooses experts for each token. @returns which, and their weights; both [tokens, experts], zero for the others. */
function route(tensors: Tensors, experts: Experts, hiddenSize: number, flat: Value) {
  const { g } = tensors;
  const { count, active, scoring, normalize, scale, choiceBias, routerBias } = experts;
  const logits = tensors.linear('router', flat, count, hiddenSize, routerBias);
  const scores =
    scoring === 'softmax'
      ? g.softmax(logits)
      : scoring === 'sigmoid'
        ? g.operation('Sigmoid', [logits])
        : logits;
  const biased = choiceBias ? g.add(scores, tensors.tensor('choiceBias', [count], '')) : scores;
  const best = topOf(g, bestGroups(g, biased, experts), active).indices;
  let weights = g.operation('GatherElements', [scores, best], { axis: 1 });
  if (scoring === 'softmaxOfChosen') weights = g.softmax(weights);
  if (normalize) {
    const total = g.operation('ReduceSum', [weights, g.integers([1])], { keepdims: 1 });
    weights = g.operation('Div', [weights, g.add(total, g.scalar(1e-20))]);
  }
  if (scale !== 1) weights = g.multiply(weights, g.scalar(scale));
  const zeros = g.operation('Expand', [g.scalar(0), g.operation('Shape', [logits])]);
  const ones = g.operation('Expand', [g.scalar(1), g.operation('Shape', [best])]);
  const scatter = (values: Value) => g.operation('ScatterElements', [zeros, best, values], { axis: 1 });
  return { chosen: scatter(ones), weights: scatter(weights) };
}

/** Returns the largest values along the last axis and where they are. */
function topOf(g: Graph, x: Value, count: number) {
  const [values, indices] = g.several('TopK', [x, g.integers([count])], 2, { axis: -1 }) as [Value, Value];
  return { values, indices };
}

/** Takes all but the best groups of experts out of the choice. */
function bestGroups(g: Graph, scores: Value, { count, groups }: Experts): Value {
  if (!groups) return scores;
  const size = count / groups.count;
  const grouped = g.reshape(scores, [-1, groups.count, size]);
  const top = topOf(g, grouped, groups.by === 'largest' ? 1 : 2).values;
  const byGroup = g.operation('ReduceSum', [top, g.integers([-1])], { keepdims: 0 });
  const best = topOf(g, byGroup, groups.active).indices;
  const zeros = g.operation('Expand', [g.scalar(0), g.operation('Shape', [byGroup])]);
  const ones = g.operation('Expand', [g.scalar(1), g.operation('Shape', [best])]);
  const kept = g.operation('ScatterElements', [zeros, best, ones], { axis: 1 });
  const penalty = g.multiply(g.subtract(kept, g.scalar(1)), g.scalar(1e30));
  return g.reshape(g.add(grouped, g.reshape(penalty, [-1, groups.count, 1])), [-1, count]);
}
