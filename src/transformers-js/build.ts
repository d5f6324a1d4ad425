import { BLOCK_INPUTS } from '../architectures/attention.js';
import { type ForwardPlan, layerPrefix, namesOf } from '../architectures/forward.js';
import { buildEmbedding } from '../architectures/graphs/embedding.js';
import { buildFinal, buildHead } from '../architectures/graphs/head.js';
import { buildLayer } from '../architectures/graphs/layer.js';
import { buildPooling } from '../architectures/graphs/pooling.js';
import { Tensors } from '../architectures/graphs/tensors.js';
import { embeddingSize } from '../architectures/pooling.js';
import { isAttention } from '../architectures/settings.js';
import type { EmbeddingModules } from '../inference/embedding/modules.js';
import type { Value } from '../onnx/graph.js';
import type { ModelGraph } from './model-graph.js';
import { poolingWeights } from './pooling.js';
import { PositionValues } from './positions.js';

/** Names of dimensions; transformers.js starts with caches of length 0 where a dimension is not the batch's. */
const BATCH = 'batch_size';
const SEQUENCE = 'sequence_length';
const PAST = 'past_sequence_length';
const TOTAL = 'total_sequence_length';

/**
 * Builds the graph of a whole model, with transformers.js's names: `input_ids`, `attention_mask` and, where they matter, `position_ids`
 * and `token_type_ids`.
 * - A causal model also takes `num_logits_to_keep` and a cache, `past_key_values.N.key` and `.value` [batch, key heads, past, size], and
 *   gives `logits` of the last tokens (0: of all) and `present.N.key` and `.value`.
 * - A masked model gives `logits`.
 * - An embedding model gives `last_hidden_state`, and `sentence_embedding`, pooled and normalized as sentence-transformers would.
 * @throws {InputError} for what a graph of any length cannot compute.
 */
export function buildModel(g: ModelGraph, plan: ForwardPlan, modules?: EmbeddingModules): void {
  const tokens = g.input('input_ids', [BATCH, SEQUENCE], 'int64');
  const hasCache = plan.kind === 'causal' && !modules;
  const attentionMask = g.input('attention_mask', [BATCH, hasCache ? TOTAL : SEQUENCE], 'int64');
  const positions = () =>
    plan.kind === 'causal'
      ? g.input('position_ids', [BATCH, SEQUENCE], 'int64')
      : countedPositions(g, plan, attentionMask);
  const values = new PositionValues(g, plan, { tokens, attentionMask, positions });
  let hidden = g.scope('', {}, () => embed(g, plan, tokens, positions)).result;
  const unpadded = unpaddedOf(g, tokens, attentionMask);
  const caches: ReadonlyMap<string, Value>[] = [];
  plan.layers.forEach((layer, i) => {
    const tensors = new Tensors(g, namesOf(plan), plan.family.columns);
    const given = { ...values.of(i), ...(hasCache && pastOf(g, plan, i)) };
    const use = { cached: hasCache, unpadded };
    const built = g.scope(layerPrefix(plan, i), given, () => buildLayer(tensors, plan, layer, hidden, use));
    hidden = built.result;
    caches.push(built.outputs);
  });
  const tensors = new Tensors(g, namesOf(plan));
  if (modules) declareEmbedding(g, plan, modules, tensors, { hidden, attentionMask });
  else declareLogits(g, plan, tensors, hidden);
  if (hasCache) for (const [layer, cache] of caches.entries()) declarePresent(g, plan, layer, cache);
}

/** Marks the tokens of the sequence that are no padding, [batch, sequence, 1]. */
function unpaddedOf(g: ModelGraph, tokens: Value, attentionMask: Value): Value {
  const start = g.operation('Neg', [g.operation('Shape', [tokens], { start: 1, end: 2 })]);
  const end = g.integers([Number.MAX_SAFE_INTEGER]);
  const own = g.operation('Slice', [attentionMask, start, end, g.integers([1])]);
  return g.cast(g.operation('Unsqueeze', [own, g.integers([2])]));
}

function embed(g: ModelGraph, plan: ForwardPlan, tokens: Value, positions: () => Value): Value {
  const { types = 1, positions: table } = plan.embedding;
  const typeIds = types > 1 ? g.input('token_type_ids', [BATCH, SEQUENCE], 'int64') : undefined;
  const rows = () => {
    const { offset } = table!;
    return offset && plan.kind === 'causal' ? g.add(positions(), g.integer(offset)) : positions();
  };
  return buildEmbedding(new Tensors(g, namesOf(plan)), plan, tokens, rows, typeIds);
}

/** Numbers the tokens of an encoder: from 0, or, as RoBERTa does, those that are no padding from the first row that is not reserved. */
function countedPositions(g: ModelGraph, plan: ForwardPlan, attentionMask: Value): Value {
  const offset = plan.embedding.positions?.offset ?? 0;
  const counted = g.operation('CumSum', [attentionMask, g.integer(1)]);
  if (offset) return g.add(g.multiply(counted, attentionMask), g.integer(offset - 1));
  const ones = g.operation('Expand', [g.integer(1), g.operation('Shape', [attentionMask])]);
  return g.subtract(g.operation('CumSum', [ones, g.integer(1)]), g.integer(1));
}

/** Returns the inputs of a layer's cache. */
function pastOf(g: ModelGraph, plan: ForwardPlan, layer: number): Record<string, Value> {
  const { mixer } = plan.layers[layer]!;
  if (!isAttention(mixer))
    return {
      [BLOCK_INPUTS.pastKeys]: g.input(`past_conv.${layer}`, [BATCH, mixer.taps - 1, plan.hiddenSize]),
    };
  const { keyValueHeads, headSize, valueSize } = mixer;
  const one = (part: string, size: number) => {
    const past = g.input(`past_key_values.${layer}.${part}`, [BATCH, keyValueHeads, PAST, size]);
    return g.operation('Unsqueeze', [past, g.integers([2])]);
  };
  return {
    [BLOCK_INPUTS.pastKeys]: one('key', headSize),
    [BLOCK_INPUTS.pastValues]: one('value', valueSize),
  };
}

/** Declares the outputs of a layer's cache. */
function declarePresent(
  g: ModelGraph,
  plan: ForwardPlan,
  layer: number,
  outputs: ReadonlyMap<string, Value>,
): void {
  const { mixer } = plan.layers[layer]!;
  const keys = outputs.get(BLOCK_INPUTS.keysOut)!;
  if (!isAttention(mixer)) {
    g.result(`present_conv.${layer}`, keys, [BATCH, mixer.taps - 1, plan.hiddenSize]);
    return;
  }
  const { keyValueHeads, headSize, valueSize } = mixer;
  const one = (part: string, value: Value, size: number) => {
    const flat = g.operation('Squeeze', [value, g.integers([2])]);
    g.result(`present.${layer}.${part}`, flat, [BATCH, keyValueHeads, TOTAL, size]);
  };
  one('key', keys, headSize);
  one('value', outputs.get(BLOCK_INPUTS.valuesOut)!, valueSize);
}

/** Declares the logits of all tokens, or of a causal model's last ones. */
function declareLogits(g: ModelGraph, plan: ForwardPlan, tensors: Tensors, hidden: Value): void {
  const isCausal = plan.kind === 'causal';
  const states = isCausal ? lastOf(g, hidden) : hidden;
  const logits = g.scope('', {}, () => buildHead(tensors, plan, states)).result;
  g.result('logits', logits, [BATCH, isCausal ? 'num_logits' : SEQUENCE, plan.vocabulary]);
}

/** Returns the hidden states of the last `num_logits_to_keep` tokens; 0 keeps all. */
function lastOf(g: ModelGraph, hidden: Value): Value {
  const count = g.input('num_logits_to_keep', [], 'int64');
  const start = g.reshape(g.operation('Neg', [count]), [1]);
  const end = g.integers([Number.MAX_SAFE_INTEGER]);
  return g.operation('Slice', [hidden, start, end, g.integers([1])]);
}

/** Declares the outputs of an embedding model. */
function declareEmbedding(
  g: ModelGraph,
  plan: ForwardPlan,
  modules: EmbeddingModules,
  tensors: Tensors,
  { hidden, attentionMask }: { readonly hidden: Value; readonly attentionMask: Value },
): void {
  const states = g.scope('', {}, () => buildFinal(tensors, plan, hidden)).result;
  g.result('last_hidden_state', states, [BATCH, SEQUENCE, plan.hiddenSize]);
  const weights = Object.fromEntries(
    [...modules.weights].map(([name, { shape }]) => [name, g.tensor(name, shape)]),
  );
  const given = { ...poolingWeights(g, modules.modes, attentionMask), ...weights };
  const pooled = g.scope('', given, () => buildPooling(g, modules, states)).result;
  const size = embeddingSize(modules, plan.hiddenSize);
  g.result('sentence_embedding', g.reshape(pooled, [-1, size]), [BATCH, size]);
}
