import { BLOCK_INPUTS } from '../../architectures/attention.js';
import { embeddingGraph } from '../../architectures/forward.js';
import type { Model } from '../../core/model.js';
import { NOTICES } from '../../core/notices.js';
import type { TokenizedSentences } from '../../evaluation/embedding/compare.js';
import { positionFeeds, tokenFeeds } from '../../inference/block-inputs.js';
import { openEmbeddingProgram } from '../../inference/embedding/program.js';
import { type Binding, LayerGraphs, openProgram, type Trunk } from '../../inference/program.js';
import type { Graph } from '../../onnx/graph.js';
import { type Feeds, floatsOf, type Runtime } from '../../onnx/runtime.js';
import { type ArrayStore, memoryStore, type StoredArray } from './array-store.js';
import { addBackward, BACKWARD_NAMES, type GraphMoments, type SiteMoments } from './backward-graph.js';
import { CalibrationBatches, type CalibrationWindow } from './batches.js';
import { EmbeddingPass } from './embedding-pass.js';
import { dampExperts, FEW_TOKENS, groupExperts, stackExperts } from './expert-statistics.js';
import { type EndPass, HeadPass } from './head-pass.js';
import { BACKWARD_COST, LayerPasses, take } from './layer-pass.js';
import { tensorNameOf } from './matmul-sites.js';
import { MomentSums } from './moment-sums.js';
import type { StatisticsSink } from './statistics.js';

export interface CollectOptions {
  /** Seed of the sampled labels. */
  readonly seed?: number | undefined;
  /** Stores hidden states for the backward pass; by default in memory. */
  readonly store?: ArrayStore | undefined;
  /** Tokens per batch; it changes results only by rounding. */
  readonly batchTokens?: number | undefined;
  /** Called with the completed and the total work, in tokens times layers; backward passes count three times. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Collects second moments of every matrix's inputs and of the gradients of its outputs; see {@link TensorMoments}. The forward pass
 * stores the input of each layer; the backward pass recomputes each layer's inner values, so that memory holds one layer.
 * Statistics reach the sink from the head to the embedding, as soon as each layer is done.
 * @param windows all of one length. Causal models predict at all positions, masked models at those that a window lists.
 * @throws {InputError} for a model that cannot be run, and windows that do not fit it.
 */
export async function collectStatistics(
  runtime: Runtime,
  model: Model,
  windows: readonly CalibrationWindow[],
  sink: StatisticsSink,
  options: CollectOptions = {},
): Promise<void> {
  const { signal, seed = 1, batchTokens } = options;
  const program = await openProgram(model, signal);
  const calibration = new CalibrationBatches(windows, program, batchTokens);
  const open = () => HeadPass.open(runtime, program, seed, signal);
  await new Collection(runtime, program, open, calibration, sink, options).run();
}

/**
 * Collects the same for an embedding model: gradients are those of the embedding of each sentence, divided by its length, along random
 * directions, so that an error E of a matrix costs about 1/2 tr(outputs E inputs E^T) of the cosine between embeddings.
 * @param given sentences of any lengths.
 * @throws {InputError} for a model that cannot be run, and sentences that do not fit it.
 */
export async function collectEmbeddingStatistics(
  runtime: Runtime,
  model: Model,
  { sentences, first }: TokenizedSentences,
  sink: StatisticsSink,
  options: CollectOptions = {},
): Promise<void> {
  const { signal, seed = 1, batchTokens } = options;
  const program = await openEmbeddingProgram(model, signal);
  const calibration = new CalibrationBatches(sentences, program, batchTokens, true);
  const open = () => EmbeddingPass.open(runtime, program, { seed, first, signal });
  await new Collection(runtime, program, open, calibration, sink, options).run();
}

class Collection {
  /** Tokens of the expert that the fewest passed. */
  private fewest = Number.POSITIVE_INFINITY;
  private readonly passes: LayerPasses;
  /** Inputs of layers that depend on positions, by the length of a batch. */
  private readonly positions = new Map<number, (layer: number) => Feeds>();

  constructor(
    private readonly runtime: Runtime,
    private readonly program: Trunk,
    private readonly openEnd: () => Promise<EndPass>,
    private readonly calibration: CalibrationBatches,
    private readonly sink: StatisticsSink,
    options: CollectOptions,
  ) {
    const { store = memoryStore, onProgress, signal } = options;
    this.passes = new LayerPasses(runtime, program, calibration, { store, onProgress, signal });
    for (const { length } of calibration.batches)
      if (!this.positions.has(length)) this.positions.set(length, positionFeeds(runtime, program, 0, length));
  }

  async run(): Promise<void> {
    const states = await this.forward();
    let cotangents = await this.end(states.pop()!);
    cotangents = await this.back(states, cotangents);
    await this.embedding(cotangents);
    if (this.fewest < FEW_TOKENS)
      NOTICES.show(
        `an expert was chosen by ${this.fewest} of ${this.calibration.tokens} calibration tokens; the statistics of experts with few tokens are damped by those of the others`,
      );
  }

  /** Runs the forward pass. @returns the input of each layer, and of the head. */
  private async forward(): Promise<StoredArray[][]> {
    const { runtime, program, passes } = this;
    const { graph, weights } = program.embedding;
    const states = [
      await passes.withSession(graph.encode(), (session) =>
        passes.run(session, weights, 1, async (run, { tokens }) =>
          floatsOf((await run(tokenFeeds(runtime, program, tokens)))[BLOCK_INPUTS.hiddenOut]),
        ),
      ),
    ];
    const graphs = this.graphs();
    await passes.withSessions(async (sessionOf) => {
      for (const [layer, weights] of program.layers.entries())
        states.push(
          await passes.run(await sessionOf(graphs.of(layer)), weights, 1, async (run, batch, i) => {
            const hidden = passes.hidden(await states[layer]![i]!.read(), batch);
            const positions = this.positions.get(batch.length)!(layer);
            const results = await run({ ...positions, [BLOCK_INPUTS.hidden]: hidden });
            return floatsOf(results[BLOCK_INPUTS.hiddenOut]);
          }),
        );
    });
    return states;
  }

  /** Runs what follows the last layer. @returns the cotangents of the hidden states before it. */
  private async end(states: readonly StoredArray[]): Promise<StoredArray[]> {
    const pass = await this.openEnd();
    try {
      const cotangents = await this.passes.each(BACKWARD_COST, async (batch, i) =>
        pass.batch(await take(states[i]!), batch),
      );
      await pass.give(this.sink, this.calibration.predictions);
      return cotangents;
    } finally {
      await pass.release();
    }
  }

  /** Runs the backward pass, from the last layer to the first. @returns the cotangents of the embedding's output. */
  private async back(states: StoredArray[][], cotangents: StoredArray[]): Promise<StoredArray[]> {
    const { program, runtime, passes } = this;
    const graphs = this.graphs();
    const byGraph = new Map<Graph, GraphMoments>();
    // an expert sees tokens of many sentences in one list
    const bySentence = (layer: number) =>
      this.calibration.isOfSentences && program.plan.layers[layer]!.mlp.kind === 'dense';
    const differentiated = (layer: number) => {
      const graph = graphs.of(layer);
      const known =
        byGraph.get(graph) ??
        addBackward(graph, { output: BLOCK_INPUTS.hiddenOut, hidden: true, bySentence: bySentence(layer) });
      byGraph.set(graph, known);
      return { graph, moments: known };
    };
    let given = cotangents;
    let sums: MomentSums | undefined;
    await passes.withSessions(async (sessionOf) => {
      for (let layer = program.layers.length - 1; layer >= 0; layer--) {
        const { graph, moments } = differentiated(layer);
        const session = await sessionOf(graph);
        // layers that share their weights, as in ALBERT, add to the same sums
        if (!sums || !sharesWeights(program, layer, layer + 1)) sums = new MomentSums(runtime, moments, sums);
        const own = sums;
        const before = states.pop()!;
        const after = given;
        given = await passes.run(session, program.layers[layer]!, BACKWARD_COST, async (run, batch, i) => {
          const hidden = await take(before[i]!);
          const feeds = {
            ...this.positions.get(batch.length)!(layer),
            [BLOCK_INPUTS.hidden]: passes.hidden(hidden, batch),
            [BACKWARD_NAMES.cotangent]: passes.hidden(await take(after[i]!), batch),
          };
          const cotangent = new Float32Array(hidden.length);
          await own.add(run, feeds, { [BACKWARD_NAMES.cotangentOut]: passes.hidden(cotangent, batch) });
          return cotangent;
        });
        if (!sharesWeights(program, layer, layer - 1)) await this.give(moments, program.layers[layer]!, sums);
      }
    });
    return given;
  }

  private async embedding(cotangents: readonly StoredArray[]): Promise<void> {
    const { program, runtime, passes } = this;
    const { weights } = program.embedding;
    const graph = embeddingGraph(program.plan);
    const moments = addBackward(graph, { output: BLOCK_INPUTS.hiddenOut, hidden: false });
    const sums = new MomentSums(runtime, moments);
    await passes.withSession(graph.encode(), (session) =>
      passes.run(session, weights, BACKWARD_COST, async (run, batch, i) => {
        const cotangent = passes.hidden(await take(cotangents[i]!), batch);
        const feeds = {
          ...tokenFeeds(runtime, program, batch.tokens),
          [BACKWARD_NAMES.cotangent]: cotangent,
        };
        await sums.add(run, feeds, {});
        return new Float32Array(0);
      }),
    );
    for (const { site, outputs } of moments.sites.filter(({ site }) => site.kind === 'embedding'))
      await this.sink.add(tensorNameOf(weights, site.weight), {
        kind: 'embedding',
        inputs: sums.mean(outputs!, this.calibration.predictions),
        outputs: this.frequencies(site.input.name, site.inputSize, graph.constantOf(site.input.name)),
        transposed: false,
      });
    const linear = moments.sites.filter(({ site }) => site.kind === 'linear');
    await this.give({ sites: linear, chosen: undefined }, weights, sums);
  }

  /** Returns how often each row of a table is looked up per token: by tokens, by positions, or always the same row. */
  private frequencies(input: string, rows: number, always: readonly number[] = []): Float32Array {
    const { calibration, program } = this;
    if (input === 'tokens') return calibration.tokenFrequencies(rows);
    const frequencies = new Float32Array(rows);
    for (const row of always) frequencies[row] = 1;
    const { offset } = program.plan.embedding.positions ?? { offset: 0 };
    if (input === 'positions') frequencies.set(calibration.positionFrequencies(), offset);
    return frequencies;
  }

  /** Returns graphs of layers for the windows' length, or for any if they have several. */
  private graphs(): LayerGraphs {
    const [length, ...others] = this.positions.keys();
    return new LayerGraphs(this.program.plan, others.length ? {} : { length: length! });
  }

  private async give(
    { sites, chosen }: GraphMoments,
    weights: readonly Binding[],
    sums: MomentSums,
  ): Promise<void> {
    const { predictions } = this.calibration;
    const momentsOf = ({ site, inputs, outputs }: SiteMoments) => ({
      kind: 'linear' as const,
      inputs: sums.mean(inputs!, predictions),
      outputs: sums.mean(outputs!, predictions),
      transposed: site.transposed,
    });
    for (const each of sites.filter(({ site }) => site.expert === undefined))
      await this.sink.add(tensorNameOf(weights, each.site.weight), momentsOf(each));
    if (!chosen) return;
    const counts = diagonal(sums.mean(chosen, 1), chosen.size);
    const ofExperts = sites.filter(({ site }) => site.expert !== undefined);
    this.fewest = Math.min(this.fewest, ...counts);
    for (const group of groupExperts(ofExperts.map((each) => ({ ...each.site, ...momentsOf(each) })))) {
      const damped = dampExperts(group, counts);
      if (!group[0]!.stacked)
        for (const [i, { weight }] of group.entries())
          await this.sink.add(tensorNameOf(weights, weight), damped[i]!);
      else await this.sink.add(tensorNameOf(weights, group[0]!.weight), stackExperts(damped));
    }
  }
}

/** Returns whether two layers have the same tensors; false beyond the first and last. */
function sharesWeights({ layers }: Trunk, layer: number, other: number): boolean {
  const names = (index: number) => layers[index]?.map(({ tensor }) => tensor.name).join();
  return names(layer) === names(other);
}

function diagonal(matrix: Float32Array, size: number): number[] {
  return Array.from({ length: size }, (_, i) => Math.round(matrix[i * size + i]!));
}
