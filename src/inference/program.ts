import type { Use } from '../architectures/attention.js';
import type { Family } from '../architectures/family.js';
import {
  embeddingGraph,
  type ForwardPlan,
  headGraph,
  kindOf,
  layerGraph,
  layerPrefix,
  planForward,
} from '../architectures/forward.js';
import { quantizationOf } from '../architectures/quantization-config.js';
import { FAMILIES, findFamily } from '../architectures/registry.js';
import { InputError } from '../core/errors.js';
import { widenerOf } from '../core/floats.js';
import type { Config } from '../core/json.js';
import { quote } from '../core/json.js';
import type { Model, TensorInfo } from '../core/model.js';
import { unpacked } from '../models/packed/view.js';
import type { Graph, Part, WeightInput } from '../onnx/graph.js';
import { type Copy, checkCopies, copiesOf } from './copies.js';

/** A graph input and the checkpoint's tensor for it, or the part of it. */
export interface Binding {
  readonly input: string;
  readonly tensor: TensorInfo;
  readonly part?: Part | undefined;
}

/** A graph and the tensors of its weights. */
export interface Stage {
  readonly graph: Graph;
  readonly weights: readonly Binding[];
}

/** A model as graphs up to its last layer, checked against the checkpoint's headers. Weights are not read yet. */
export interface Trunk {
  readonly model: Model;
  readonly plan: ForwardPlan;
  /** Maps `tokens` (and `positions`) to `hidden_out`. */
  readonly embedding: Stage;
  /** The weights of each layer's graph of {@link LayerGraphs}. */
  readonly layers: readonly (readonly Binding[])[];
  /** Stored tensors that are not used because they must equal one that is; {@link openProgram} checks this. */
  readonly copies: readonly Copy[];
}

/** A model that predicts tokens. */
export interface Program extends Trunk {
  /** Maps `hidden` to `logits`. */
  readonly head: Stage;
}

/**
 * Builds the graphs of a model and finds its weights.
 * @throws {InputError} for an unsupported architecture or setting, an incomplete config, tensors that are missing or have an unexpected
 * shape, and tensors that no graph uses.
 */
export function buildProgram(model: Model): Program {
  const { end: head, ...trunk } = buildStages(model, headGraph);
  return { ...trunk, head };
}

/**
 * Builds the graphs of a model with any graph after its last layer. @param isUnneeded whether a tensor may be left unused.
 * @throws {InputError} as {@link buildProgram}.
 */
export function buildStages(
  model: Model,
  endGraph: (plan: ForwardPlan) => Graph,
  isUnneeded?: (name: string) => boolean,
): Trunk & { readonly end: Stage } {
  const plan = planOf(model);
  const find = tensorFinder(model, plan.family.prefixes);
  const bind = (graph: Graph, prefix = '') =>
    graph.weights.map((weight) => ({ input: weight.name, tensor: find(weight, prefix), part: weight.part }));
  const stage = (graph: Graph) => ({ graph, weights: bind(graph) });
  const graphs = new LayerGraphs(plan);
  const stages = {
    embedding: stage(embeddingGraph(plan)),
    layers: plan.layers.map((_, layer) => bind(graphs.of(layer), layerPrefix(plan, layer))),
    end: stage(endGraph(plan)),
  };
  const bound = [stages.embedding.weights, ...stages.layers, stages.end.weights].flat();
  return { model, plan, ...stages, copies: copiesOf(model, plan, bound, isUnneeded) };
}

/** Reads the config of a model that is to be run. @throws {InputError} as {@link buildProgram}. */
export function planOf(model: Model): ForwardPlan {
  const { config } = model;
  if (model.notRun !== undefined) throw new InputError(model.notRun, { file: model.id });
  if (model.configError) throw model.configError;
  if (!config) throw new InputError('has no config.json, which running a model needs', { file: model.id });
  refusePacked(model, config);
  return planForward(familyOf(config), config);
}

/** Finds the family of a config. @throws {InputError} listing the supported ones, when there is none. */
function familyOf(config: Config): Family {
  const found = findFamily(config);
  if (found) return found;
  const known = FAMILIES.flatMap(({ modelTypes }) => modelTypes).join(', ');
  throw new InputError(
    `config.json: unsupported model_type ${quote(config.model_type)}, expected one of ${known}`,
  );
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
export async function openProgram(model: Model, signal?: AbortSignal): Promise<Program> {
  const program = buildProgram(await unpacked(model, signal));
  await compareCopies(program, signal);
  return program;
}

/** Compares a model's tied tensors, once for each model. @throws {InputError} naming one that differs. */
export async function compareCopies({ model, copies }: Trunk, signal?: AbortSignal): Promise<void> {
  if (!compared.has(model)) await checkCopies(model, copies, signal);
  compared.add(model);
}

/** The graphs of a model's layers, one for each kind of layer. */
export class LayerGraphs {
  private readonly byKind = new Map<string, Graph>();

  constructor(
    private readonly plan: ForwardPlan,
    private readonly use: Use = {},
  ) {}

  /** Returns the graph of a layer. */
  of(layer: number): Graph {
    const kind = kindOf(this.plan, layer);
    const known = this.byKind.get(kind) ?? layerGraph(this.plan, layer, this.use);
    this.byKind.set(kind, known);
    return known;
  }
}

/** Returns a function that finds tensors by name, with or without the family's prefix. */
function tensorFinder(model: Model, prefixes: readonly [string, ...string[]]) {
  const byName = new Map(model.tensors.map((tensor) => [tensor.name, tensor]));
  const used = prefixes.find((prefix) => model.tensors.some(({ name }) => name.startsWith(prefix))) ?? '';
  return ({ tensor: name, shape, part, ofModel }: WeightInput, layerPrefix: string): TensorInfo => {
    const plain = (ofModel ? '' : layerPrefix) + name;
    const tensor = byName.get(used + plain) ?? byName.get(plain);
    if (!tensor) throw missing(model, plain, used);
    const place = { file: model.id, tensor: tensor.name };
    const expected = part ? [part.count, ...shape] : shape;
    if (`${tensor.shape}` !== `${expected}`)
      throw new InputError(`expected shape ${quote(expected)}, found ${quote(tensor.shape)}`, place);
    widenerOf(model, tensor.name, tensor.dtype);
    return tensor;
  };
}

function missing(model: Model, name: string, prefix: string): InputError {
  const isHead = /^(lm_head|embed_out)\./.test(name);
  const what = isHead ? 'missing: the model has no language-model head and predicts no tokens' : 'missing';
  return new InputError(what, { file: model.id, tensor: isHead ? name : prefix + name });
}
