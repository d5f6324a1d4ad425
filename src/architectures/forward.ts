import type { Config } from '../core/json.js';
import { Graph } from '../onnx/graph.js';
import type { Use } from './attention.js';
import { BLOCK_INPUTS } from './attention.js';
import { ConfigReader, textConfigOf } from './config-reader.js';
import { type Dimensions, FIELDS, requireDimensions } from './dimensions.js';
import type { Family } from './family.js';
import { buildEmbedding } from './graphs/embedding.js';
import { buildFinal, buildHead } from './graphs/head.js';
import { buildLayer } from './graphs/layer.js';
import { buildPooling, buildUnit } from './graphs/pooling.js';
import { Tensors } from './graphs/tensors.js';
import { type EmbeddingPlan, embeddingSize } from './pooling.js';
import type { Settings } from './settings.js';
import type { Names } from './slots.js';
import { tiedIn } from './tied.js';

/** The forward pass of a model: its family and what its config says. */
export interface ForwardPlan extends Settings {
  readonly family: Family;
  readonly size: Dimensions;
}

/**
 * Reads a config.
 * @throws {InputError} when a field is missing, has an unsupported value, or is one that the family's forward pass does not know, which
 * `anyFields` allows.
 */
export function planForward(family: Family, config: Config, { anyFields = false } = {}): ForwardPlan {
  const text = textConfigOf(config);
  const size = requireDimensions(text, family.defaults);
  const c = new ConfigReader(text);
  c.skip('tie_word_embeddings', ...FIELDS);
  const tied = tiedIn(config) ?? family.tiedByDefault;
  const settings = family.settings(c, { ...size, tied });
  if (!anyFields) c.refuseRest();
  return { ...settings, family, size };
}

/** Returns a key that is equal for layers with the same graph. */
export function kindOf({ layers }: ForwardPlan, layer: number): string {
  return JSON.stringify(layers[layer]);
}

/** Builds the graph of the embedding, from `tokens` (and `positions`) to `hidden_out`. */
export function embeddingGraph(plan: ForwardPlan): Graph {
  const g = new Graph('embedding');
  const tokens = g.input('tokens', ['batch', 'sequence'], 'int64');
  const positions = () => g.input('positions', ['sequence'], 'int64');
  const hidden = buildEmbedding(new Tensors(g, namesOf(plan)), plan, tokens, positions);
  g.output(BLOCK_INPUTS.hiddenOut, hidden, ['batch', 'sequence', plan.hiddenSize]);
  return g;
}

/** Builds the graph of a layer, from `hidden` to `hidden_out`: with a KV cache, for a fixed sequence length, or for any length. */
export function layerGraph(plan: ForwardPlan, layer: number, use: Use = {}): Graph {
  const g = new Graph('layer');
  const shape = ['batch', 'sequence', plan.hiddenSize];
  const tensors = new Tensors(g, namesOf(plan), plan.family.columns);
  const hidden = g.input(BLOCK_INPUTS.hidden, shape);
  g.output(BLOCK_INPUTS.hiddenOut, buildLayer(tensors, plan, plan.layers[layer]!, hidden, use), shape);
  return g;
}

/** Builds the graph of the head, from `hidden` to `logits`. */
export function headGraph(plan: ForwardPlan): Graph {
  const g = new Graph('head');
  const hidden = g.input(BLOCK_INPUTS.hidden, ['batch', 'sequence', plan.hiddenSize]);
  const logits = buildHead(new Tensors(g, namesOf(plan)), plan, hidden);
  g.output('logits', logits, ['batch', 'sequence', plan.vocabulary]);
  return g;
}

/** Builds the graph of what follows the last layer of a model without a head, from `hidden` to `hidden_out`. */
export function finalGraph(plan: ForwardPlan): Graph {
  const g = new Graph('final');
  const shape = ['batch', 'sequence', plan.hiddenSize];
  const hidden = g.input(BLOCK_INPUTS.hidden, shape);
  g.output(BLOCK_INPUTS.hiddenOut, buildFinal(new Tensors(g, namesOf(plan)), plan, hidden), shape);
  return g;
}

/**
 * Builds the graph from the hidden states of sentences of one length to their embeddings, from `hidden` to `embedding`.
 * @param unit whether embeddings are divided by their lengths at the end, whatever the model does.
 */
export function sentenceGraph(plan: ForwardPlan, embedding: EmbeddingPlan, unit = false): Graph {
  const g = finalGraph(plan);
  const pooled = buildPooling(g, embedding, { name: BLOCK_INPUTS.hiddenOut });
  g.withdraw(BLOCK_INPUTS.hiddenOut);
  g.output('embedding', unit ? buildUnit(g, pooled) : pooled, [
    'batch',
    1,
    embeddingSize(embedding, plan.hiddenSize),
  ]);
  return g;
}

/** Returns the names of a model's tensors. */
export function namesOf({ family, names }: ForwardPlan): Names {
  return { ...family.names, ...names };
}

/** Returns the prefix of a layer's tensors, such as `h.3.`. */
export function layerPrefix({ family }: ForwardPlan, layer: number): string {
  return family.layer.replace('*', String(layer));
}
