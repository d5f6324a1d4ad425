import { exactKind } from '../../architectures/exact.js';
import { finalGraph, headGraph } from '../../architectures/forward.js';
import { elementCount } from '../../core/dtype.js';
import { canWiden } from '../../core/floats.js';
import type { Model, TensorInfo } from '../../core/model.js';
import { sumOf } from '../../core/sum.js';
import { isEmbeddingModel } from '../../inference/embedding/program.js';
import { type Binding, buildStages, LayerGraphs, type Stage } from '../../inference/program.js';
import { unpacked } from '../../models/packed/view.js';
import { type MatmulSite, matmulSitesOf, tensorNameOf } from '../../quantization/calibration/matmul-sites.js';
import type { ExactTensors } from '../../quantization/exact-tensors.js';
import { planTensors, quantizedTensors } from '../../quantization/plan.js';

/** A product with a matrix, or a look-up in it. */
export interface MatrixUse {
  readonly kind: 'linear' | 'embedding' | 'head';
  /** Widths of what is recorded of each token: inputs and gradients of outputs; of an embedding these alone, of a head those alone. */
  readonly widths: readonly number[];
  /** Share of the tokens that pass it: less than 1 for an expert. */
  readonly share: number;
}

/** A tensor that is quantized. */
export interface MatrixShape {
  readonly tensor: TensorInfo;
  readonly weights: number;
  /** None for a matrix that the forward pass does not use; several for one that is tied or stacked, or of layers that share it. */
  readonly uses: readonly MatrixUse[];
}

/** What a layer, the embedding or the head takes. */
export interface LayerShape {
  readonly label: string;
  /** Weights of all its tensors. */
  readonly weights: number;
  /** Weights that a token passes, on average. */
  readonly activeWeights: number;
  /** Numbers that are recorded of each token, on average: inputs that several matrices share once, and gradients of outputs. */
  readonly recorded: number;
}

/** What the plan of a run needs to know of a model. */
export interface ModelShape {
  /** The stored tensors, without copies. */
  readonly tensors: readonly TensorInfo[];
  /** Those that are known to be stored exactly without reading them. */
  readonly exact: ExactTensors;
  readonly matrices: readonly MatrixShape[];
  readonly embedding: LayerShape;
  readonly layers: readonly LayerShape[];
  readonly head: LayerShape;
  readonly hiddenSize: number;
  /** Logits per token; 0 for an embedding model. */
  readonly vocabulary: number;
}

/**
 * Reads the shape of a model from its config and the names, types and shapes of its tensors.
 * @throws {InputError} for a model that cannot be run.
 */
export async function shapeOf(given: Model): Promise<ModelShape> {
  const model = await unpacked(given);
  const isEmbedding = isEmbeddingModel(model);
  const { plan, embedding, layers, end, copies } = isEmbedding
    ? buildStages(model, finalGraph, () => true)
    : buildStages(model, headGraph);
  const copied = new Set(copies.map(({ copy }) => copy.name));
  const tensors = model.tensors.filter(({ name }) => !copied.has(name));
  const exact = exactByName(model);
  const quantized = quantizedTensors(planTensors(tensors, exact));
  const uses = new Map(quantized.map(({ name }) => [name, [] as MatrixUse[]]));
  const graphs = new LayerGraphs(plan);
  const read = (label: string, stage: Stage, share = 1) => readStage(label, stage, share, uses);
  const shapes = {
    embedding: read('embedding', embedding),
    layers: layers.map((weights, layer) => {
      const { mlp } = plan.layers[layer]!;
      const share = mlp.kind === 'experts' ? mlp.active / mlp.count : 1;
      return read(`layer ${layer}`, { graph: graphs.of(layer), weights }, share);
    }),
    head: readHead(end, isEmbedding ? undefined : plan.vocabulary, uses),
  };
  return {
    ...shapes,
    tensors,
    exact,
    matrices: quantized.map((tensor) => ({
      tensor,
      weights: elementCount(tensor.shape),
      uses: uses.get(tensor.name)!,
    })),
    hiddenSize: plan.hiddenSize,
    vocabulary: isEmbedding ? 0 : plan.vocabulary,
  };
}

type Uses = ReadonlyMap<string, MatrixUse[]>;

/** Finds tensors to store exactly by names and types. Infinity and NaN would be found by reading them. */
function exactByName({ tensors, config }: Model): ExactTensors {
  return new Map(
    tensors.flatMap((tensor) => {
      const kind = exactKind(tensor, config) ?? (canWiden(tensor.dtype) ? undefined : 'no floats');
      return kind ? [[tensor.name, kind]] : [];
    }),
  );
}

/** Reads a graph and its tensors; adds the uses of matrices that are quantized. @param share of the tokens that pass an expert. */
function readStage(label: string, { graph, weights }: Stage, share: number, uses: Uses): LayerShape {
  const sites = matmulSitesOf(graph).filter((site) => uses.has(tensorNameOf(weights, site.weight)));
  const shareOf = ({ expert }: Pick<MatmulSite, 'expert'>) => (expert === undefined ? 1 : share);
  for (const site of sites) {
    const { kind, inputSize, outputSize, weight } = site;
    const widths = kind === 'linear' ? [inputSize, outputSize] : [outputSize];
    uses.get(tensorNameOf(weights, weight))!.push({ kind, widths, share: shareOf(site) });
  }
  const linear = sites.filter(({ kind }) => kind === 'linear');
  const inputs = new Map(linear.map((site) => [site.input.name, shareOf(site) * site.inputSize]));
  const own = graph.weights.map(({ shape, expert }) => ({ weights: elementCount(shape), expert }));
  return {
    label,
    weights: sumOf(own, (weight) => weight.weights),
    activeWeights: sumOf(own, (weight) => weight.weights * shareOf(weight)),
    recorded:
      sumOf([...inputs.values()], (size) => size) + sumOf(sites, (site) => shareOf(site) * site.outputSize),
  };
}

/** Reads the head. Of its last matrix, which has an output for each token of the vocabulary, only the inputs are recorded. */
function readHead(stage: Stage, vocabulary: number | undefined, uses: Uses): LayerShape {
  const own: Uses = new Map([...uses.keys()].map((name) => [name, []]));
  const { recorded, ...shape } = readStage('head', stage, 1, own);
  const last = vocabulary === undefined ? undefined : outputMatrixOf(stage.weights);
  for (const [name, found] of own)
    for (const use of found) uses.get(name)!.push(name === last ? headUse(use) : use);
  return {
    ...shape,
    recorded: last !== undefined && own.get(last)?.length ? recorded - vocabulary! : recorded,
  };
}

const headUse = ({ widths, share }: MatrixUse): MatrixUse => ({ kind: 'head', widths: [widths[0]!], share });

const outputMatrixOf = (weights: readonly Binding[]) =>
  weights.findLast(({ tensor }) => tensor.shape.length === 2)!.tensor.name;
