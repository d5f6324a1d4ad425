import { BLOCK_INPUTS } from '../../architectures/attention.js';
import { embeddingGraph, headGraph } from '../../architectures/forward.js';
import { type Binding, LayerGraphs, type Program, type Trunk } from '../../inference/program.js';
import type { Graph } from '../../onnx/graph.js';
import { addBackward, type GraphMoments } from './backward-graph.js';
import type { CalibrationBatches } from './batches.js';
import type { MatmulSite } from './matmul-sites.js';

/** A part of a model that the backward pass passes: the head, a layer, or the embedding. */
export interface Stage {
  /** Unique in a model. */
  readonly name: string;
  readonly graph: Graph;
  readonly moments: GraphMoments;
  readonly weights: readonly Binding[];
  /** Whether it has the tensors of the stage before it, as layers of ALBERT do: it adds to the same sums. */
  readonly continues: boolean;
  /** Whether the next stage does not continue it. */
  readonly ends: boolean;
  /** Returns how often each row of a table is looked up per token; undefined for the head, whose rows are weighted by predictions. */
  readonly frequencies: ((site: MatmulSite) => Float32Array) | undefined;
}

const ALONE = { continues: false, ends: true } as const;

/** Returns the stage of a head, whose last matrix has too many rows for a moment of its gradients. */
export function headStage({ plan, head: { weights } }: Program): Stage {
  const graph = headGraph(plan);
  const skipped = weights.findLast(({ tensor }) => tensor.shape.length === 2)!.input;
  const moments = addBackward(graph, { output: 'logits', hidden: true, skipped });
  return { name: 'head', graph, moments, weights, ...ALONE, frequencies: undefined };
}

/** The stages of layers. Layers that are alike share a graph. */
export class LayerStages {
  private readonly graphs: LayerGraphs;
  private readonly moments = new Map<Graph, GraphMoments>();

  constructor(
    private readonly program: Trunk,
    private readonly calibration: CalibrationBatches,
  ) {
    this.graphs = layerGraphs(program, calibration);
  }

  of(layer: number): Stage {
    const { program, calibration, graphs } = this;
    const graph = graphs.of(layer);
    // an expert sees tokens of many sentences in one list
    const bySentence = calibration.isOfSentences && program.plan.layers[layer]!.mlp.kind === 'dense';
    const moments =
      this.moments.get(graph) ??
      addBackward(graph, { output: BLOCK_INPUTS.hiddenOut, hidden: true, bySentence });
    this.moments.set(graph, moments);
    return {
      name: `layer-${layer}`,
      graph,
      moments,
      weights: program.layers[layer]!,
      continues: sharesWeights(program, layer, layer + 1),
      ends: !sharesWeights(program, layer, layer - 1),
      frequencies: undefined,
    };
  }
}

/** Returns the stage of the embedding. */
export function embeddingStage(program: Trunk, calibration: CalibrationBatches): Stage {
  const { plan } = program;
  const { weights } = program.embedding;
  const graph = embeddingGraph(plan);
  const moments = addBackward(graph, { output: BLOCK_INPUTS.hiddenOut, hidden: false });
  const frequencies = ({ input: { name }, inputSize: rows }: MatmulSite): Float32Array => {
    if (name === 'tokens') return calibration.tokenFrequencies(rows);
    const found = new Float32Array(rows);
    for (const row of graph.constantOf(name) ?? []) found[row] = 1;
    if (name === 'positions')
      found.set(calibration.positionFrequencies(), plan.embedding.positions?.offset ?? 0);
    return found;
  };
  return { name: 'embedding', graph, moments, weights, ...ALONE, frequencies };
}

/** Returns graphs of layers for the windows' length, or for any if they have several. */
export function layerGraphs({ plan }: Trunk, { batches }: CalibrationBatches): LayerGraphs {
  const [length, ...others] = new Set(batches.map((batch) => batch.length));
  return new LayerGraphs(plan, others.length ? {} : { length: length! });
}

/** Returns whether two layers have the same tensors; false beyond the first and last. */
function sharesWeights({ layers }: Trunk, layer: number, other: number): boolean {
  const names = (index: number) => layers[index]?.map(({ tensor }) => tensor.name).join();
  return names(layer) === names(other);
}
