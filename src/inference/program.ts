import { attentionOf, BLOCK_INPUTS } from '../architectures/attention.js';
import type { Dimensions } from '../architectures/dimensions.js';
import { requireDimensions } from '../architectures/dimensions.js';
import type { ForwardPlan } from '../architectures/forward.js';
import { refuseForeign } from '../architectures/graphs/config.js';
import { findForwardFamily } from '../architectures/graphs/registry.js';
import { quantizationOf } from '../architectures/quantization-config.js';
import { findFamily } from '../architectures/registry.js';
import { InputError } from '../core/errors.js';
import { widenerOf } from '../core/floats.js';
import type { Config } from '../core/json.js';
import { quote } from '../core/json.js';
import type { Model, TensorInfo } from '../core/model.js';
import { unpacked } from '../models/packed/view.js';
import { Graph, type WeightInput } from '../onnx/graph.js';
import { type Copy, checkCopies, copiesOf } from './copies.js';

/** A graph input and the checkpoint's tensor for it. */
export interface Binding {
  readonly input: string;
  readonly tensor: TensorInfo;
}

/** A graph and the tensors of its weights. */
export interface Stage {
  readonly graph: Graph;
  readonly weights: readonly Binding[];
}

/** A model as graphs, checked against the checkpoint's headers. Weights are not read yet. */
export interface Program {
  readonly model: Model;
  readonly plan: ForwardPlan;
  readonly size: Dimensions;
  /** Maps `tokens` (and `positions`) to `hidden_out`. */
  readonly embedding: Stage;
  /** The weights of each layer; all layers have the same {@link blockGraph}. */
  readonly layers: readonly (readonly Binding[])[];
  /** Maps `hidden` to `logits`. */
  readonly head: Stage;
  /** Stored tensors that are not used because they must equal one that is; {@link openProgram} checks this. */
  readonly copies: readonly Copy[];
}

/**
 * Builds the graphs of a model and finds its weights.
 * @throws {InputError} for an unsupported architecture or setting, an incomplete config, tensors that are missing or have an unexpected
 * shape, and tensors that no graph uses.
 */
export function buildProgram(model: Model): Program {
  const { config } = model;
  if (model.configError) throw model.configError;
  if (!config) throw new InputError('has no config.json, which running a model needs', { file: model.id });
  refusePacked(model, config);
  const family = findForwardFamily(config.model_type);
  refuseForeign(config);
  const size = requireDimensions(config);
  const plan = family.plan(config, size);
  const prefix = findFamily(config)?.prefix ?? '';
  const find = tensorFinder(model, prefix);
  const embedding = embeddingGraph(plan, size);
  const block = blockGraph({ plan, size }, {});
  const head = headGraph(plan, size);
  const bind = (graph: Graph, layerPrefix = '') =>
    graph.weights.map((weight) => ({ input: weight.name, tensor: find(weight, layerPrefix) }));
  const stages = {
    embedding: { graph: embedding, weights: bind(embedding) },
    layers: Array.from({ length: size.layers }, (_, layer) => bind(block, plan.layerPrefix(layer))),
    head: { graph: head, weights: bind(head) },
  };
  const bound = [stages.embedding.weights, ...stages.layers, stages.head.weights].flat();
  return { model, plan, size, ...stages, copies: copiesOf(model, plan, prefix, bound) };
}

/** Names of packed integers in checkpoints quantized by other programs. */
const PACKED_INTEGERS = /\.(qweight|weight_packed|weight\.(absmax|SCB))$/;

/** Refuses packed weights that are not known to {@link unpacked}, and would be misinterpreted. @throws {InputError} */
function refusePacked({ id, tensors }: Model, config: Config): void {
  const isPacked = tensors.some(({ name }) => PACKED_INTEGERS.test(name));
  const given = quantizationOf(config);
  if (!given && !isPacked) return;
  const { method = 'another program', bits, groupSize } = given ?? {};
  const parts = [bits && `${bits} bits`, groupSize && `groups of ${groupSize}`].filter(Boolean).join(', ');
  throw new InputError(
    `${given ? 'config.json, quantization_config: ' : ''}unsupported quantization by ${method}${parts && ` (${parts})`}, the model cannot be run; lossless compress stores it bit for bit`,
    { file: id },
  );
}

/** Models whose copies have been compared. */
const compared = new WeakSet<Model>();

/**
 * Builds the graphs of a model that is about to be run, with floats for packed weights, and compares its tied tensors.
 * @throws {InputError} as {@link buildProgram}, and for a tied head that differs from the embedding.
 */
export async function openProgram(given: Model, signal?: AbortSignal): Promise<Program> {
  const program = buildProgram(await unpacked(given, signal));
  const { model } = program;
  if (!compared.has(model)) await checkCopies(model, program.copies, signal);
  compared.add(model);
  return program;
}

/** Builds the graph of the embedding, from `tokens` (and `positions`) to `hidden_out`. */
export function embeddingGraph(plan: ForwardPlan, { hiddenSize }: Dimensions): Graph {
  const g = new Graph('embedding');
  const tokens = g.input('tokens', ['batch', 'sequence'], 'int64');
  const hidden = plan.embed(g, tokens, () => g.input('positions', ['sequence'], 'int64'));
  g.output(BLOCK_INPUTS.hiddenOut, hidden, ['batch', 'sequence', hiddenSize]);
  return g;
}

/**
 * Builds the graph of a layer, from `hidden` to `hidden_out`: with a KV cache, for a fixed sequence length, or for any length.
 */
export function blockGraph(
  { plan, size }: Pick<Program, 'plan' | 'size'>,
  attention: { readonly cached?: boolean; readonly length?: number },
): Graph {
  const g = new Graph('block');
  const shape = ['batch', 'sequence', size.hiddenSize];
  const options = { causal: plan.kind === 'causal', rotarySize: plan.rotary?.size ?? 0, ...attention };
  const hidden = g.input(BLOCK_INPUTS.hidden, shape);
  g.output(BLOCK_INPUTS.hiddenOut, plan.block(g, hidden, attentionOf(g, size, options)), shape);
  return g;
}

/** Builds the graph of the head, from `hidden` to `logits`. */
export function headGraph(plan: ForwardPlan, { hiddenSize, vocabulary }: Dimensions): Graph {
  const g = new Graph('head');
  const hidden = g.input(BLOCK_INPUTS.hidden, ['batch', 'sequence', hiddenSize]);
  g.output('logits', plan.head(g, hidden), ['batch', 'sequence', vocabulary]);
  return g;
}

/** Returns a function that finds tensors by name, with or without the family's prefix. */
function tensorFinder(model: Model, familyPrefix: string) {
  const byName = new Map(model.tensors.map((tensor) => [tensor.name, tensor]));
  const prefixed = model.tensors.some(({ name }) => name.startsWith(familyPrefix));
  return ({ name, shape }: WeightInput, layerPrefix: string): TensorInfo => {
    const plain = layerPrefix + name;
    const tensor = byName.get(familyPrefix + plain) ?? byName.get(plain);
    if (!tensor) throw missing(model, plain, prefixed ? familyPrefix : '');
    const place = { file: model.id, tensor: tensor.name };
    if (`${tensor.shape}` !== `${shape}`)
      throw new InputError(`expected shape ${quote(shape)}, found ${quote(tensor.shape)}`, place);
    widenerOf(model, tensor.name, tensor.dtype);
    return tensor;
  };
}

function missing(model: Model, name: string, prefix: string): InputError {
  const isHead = /^(lm_head|embed_out)\./.test(name);
  const what = isHead ? 'missing: the model has no language-model head and predicts no tokens' : 'missing';
  return new InputError(what, { file: model.id, tensor: isHead ? name : prefix + name });
}
