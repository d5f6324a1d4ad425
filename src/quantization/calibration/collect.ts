import { BLOCK_INPUTS } from '../../architectures/attention.js';
import type { Model } from '../../core/model.js';
import { loadWeights, positionFeeds, tokenFeeds } from '../../inference/block-inputs.js';
import {
  type Binding,
  blockGraph,
  embeddingGraph,
  openProgram,
  type Program,
} from '../../inference/program.js';
import { type Feeds, floatsOf, type Runtime, type Session } from '../../onnx/runtime.js';
import { type Batch, Calibration, type CalibrationWindow } from './calibration.js';
import { addBackward, BACKWARD_PORTS, type SiteMoments } from './graphs.js';
import { HeadPass } from './head.js';
import { nameOf } from './names.js';
import type { StatisticsSink } from './statistics.js';
import { type ArrayStore, type Kept, memoryStore } from './store.js';
import { Sums } from './sums.js';

export interface CollectOptions {
  /** Of the labels that are drawn. */
  readonly seed?: number | undefined;
  /** Where hidden states wait for the way back. */
  readonly store?: ArrayStore | undefined;
  /** Tokens that pass a layer together; results agree but for rounding. */
  readonly batchTokens?: number | undefined;
  /** Called with work done and all work, in tokens moved through a layer; back counts thrice. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Second moments of every matrix's inputs and of the gradients of its outputs; see {@link TensorStatistics}. One pass forward, layer by
 * layer, keeping what goes into each; then back, computing a layer's inner values again, so that memory holds one layer.
 * Tensors reach the sink from the head to the embedding, a layer as soon as it is done.
 * @param windows all of one length. Causal models predict everywhere; masked ones where a window says, under its masks.
 * @throws {InputError} for a model that cannot be run, and windows that do not fit it.
 */
export async function collectStatistics(
  runtime: Runtime,
  model: Model,
  windows: readonly CalibrationWindow[],
  sink: StatisticsSink,
  options: CollectOptions = {},
): Promise<void> {
  const program = await openProgram(model, options.signal);
  const calibration = new Calibration(windows, program, options.batchTokens);
  await new Collecting(runtime, program, calibration, sink, options).all();
}

/** What a graph is given and gives for one batch. */
type Step = (run: Session['run'], batch: Batch, index: number) => Promise<Float32Array>;

/** How much more a layer takes back than forward. */
const BACK = 3;

class Collecting {
  private readonly store: ArrayStore;
  private readonly positions: (layer: number) => Feeds;
  private done = 0;

  constructor(
    private readonly runtime: Runtime,
    private readonly program: Program,
    private readonly calibration: Calibration,
    private readonly sink: StatisticsSink,
    private readonly options: CollectOptions,
  ) {
    this.store = options.store ?? memoryStore;
    this.positions = positionFeeds(runtime, program, 0, calibration.length);
  }

  async all(): Promise<void> {
    const states = await this.forward();
    let cotangents = await this.head(states.pop()!);
    cotangents = await this.back(states, cotangents);
    await this.embedding(cotangents);
  }

  /** @returns what goes into each layer, and into the head. */
  private async forward(): Promise<Kept[][]> {
    const { runtime, program, calibration } = this;
    const { graph, weights } = program.embedding;
    const states = [
      await this.session(graph.encode(), (session) =>
        this.through(session, weights, 1, async (run, { tokens }) =>
          floatsOf((await run(tokenFeeds(runtime, program, tokens)))[BLOCK_INPUTS.hiddenOut]),
        ),
      ),
    ];
    await this.session(blockGraph(program, calibration).encode(), async (session) => {
      for (const [layer, weights] of program.layers.entries())
        states.push(
          await this.through(session, weights, 1, async (run, _, i) => {
            const hidden = this.tensor(await states[layer]![i]!.read());
            const results = await run({ ...this.positions(layer), [BLOCK_INPUTS.hidden]: hidden });
            return floatsOf(results[BLOCK_INPUTS.hiddenOut]);
          }),
        );
    });
    return states;
  }

  /** @returns the cotangents of the hidden states before the head. */
  private async head(states: readonly Kept[]): Promise<Kept[]> {
    const { runtime, program, calibration, options } = this;
    const pass = await HeadPass.open(runtime, program, options.seed ?? 1, options.signal);
    try {
      const cotangents: Kept[] = [];
      for (const [i, { rows }] of calibration.batches.entries()) {
        options.signal?.throwIfAborted();
        const hidden = await take(states[i]!);
        cotangents.push(await this.store.add(await pass.batch(hidden, rows)));
        this.progress(i, BACK);
      }
      await pass.give(this.sink, calibration.predictions);
      return cotangents;
    } finally {
      await pass.release();
    }
  }

  /** All layers from the last to the first. @returns the cotangents of the embedding's output. */
  private async back(states: Kept[][], cotangents: Kept[]): Promise<Kept[]> {
    const { program, runtime } = this;
    const graph = blockGraph(program, this.calibration);
    const moments = addBackward(graph, { output: BLOCK_INPUTS.hiddenOut, hidden: true });
    let given = cotangents;
    let previous: Sums | undefined;
    await this.session(graph.encode(), async (session) => {
      for (let layer = program.layers.length - 1; layer >= 0; layer--) {
        const sums = new Sums(runtime, moments, previous);
        previous = sums;
        const before = states.pop()!;
        const after = given;
        given = await this.through(session, program.layers[layer]!, BACK, async (run, _, i) => {
          const hidden = await take(before[i]!);
          const feeds = {
            ...this.positions(layer),
            [BLOCK_INPUTS.hidden]: this.tensor(hidden),
            [BACKWARD_PORTS.cotangent]: this.tensor(await take(after[i]!)),
          };
          const cotangent = new Float32Array(hidden.length);
          await sums.add(run, feeds, { [BACKWARD_PORTS.cotangentOut]: this.tensor(cotangent) });
          return cotangent;
        });
        await this.give(moments, program.layers[layer]!, sums);
      }
    });
    return given;
  }

  private async embedding(cotangents: readonly Kept[]): Promise<void> {
    const { program, runtime, calibration } = this;
    const { weights } = program.embedding;
    const graph = embeddingGraph(program.plan, program.size);
    const moments = addBackward(graph, { output: BLOCK_INPUTS.hiddenOut, hidden: false });
    const sums = new Sums(runtime, moments);
    await this.session(graph.encode(), (session) =>
      this.through(session, weights, BACK, async (run, { tokens }, i) => {
        const cotangent = this.tensor(await take(cotangents[i]!));
        const feeds = { ...tokenFeeds(runtime, program, tokens), [BACKWARD_PORTS.cotangent]: cotangent };
        await sums.add(run, feeds, {});
        return new Float32Array(0);
      }),
    );
    for (const { site, outputs } of moments)
      await this.sink.add(nameOf(weights, site.weight), {
        kind: 'embedding',
        inputs: sums.mean(outputs!, calibration.predictions),
        outputs: this.frequencies(site.input.name, site.inputSize, graph.constantOf(site.input.name)),
        transposed: false,
      });
  }

  /** How often each row of a table was looked up, a token: by tokens, positions, or always the same row. */
  private frequencies(input: string, rows: number, always: readonly number[] = []): Float32Array {
    const { calibration, program } = this;
    if (input === 'tokens') return calibration.tokenFrequencies(rows);
    const frequencies = new Float32Array(rows);
    for (const row of always) frequencies[row] = 1;
    const { firstPosition } = program.plan;
    if (input === 'positions')
      frequencies.fill(1 / calibration.length, firstPosition, firstPosition + calibration.length);
    return frequencies;
  }

  private async give(
    moments: readonly SiteMoments[],
    weights: readonly Binding[],
    sums: Sums,
  ): Promise<void> {
    const { predictions } = this.calibration;
    for (const { site, inputs, outputs } of moments)
      await this.sink.add(nameOf(weights, site.weight), {
        kind: 'linear',
        inputs: sums.mean(inputs!, predictions),
        outputs: sums.mean(outputs!, predictions),
        transposed: site.transposed,
      });
  }

  /** Every batch through a graph with one set of weights; what comes out is stored. */
  private async through(
    session: Session,
    bindings: readonly Binding[],
    work: number,
    step: Step,
  ): Promise<Kept[]> {
    const { runtime, program, options, calibration } = this;
    const weights = await loadWeights(runtime, program, bindings, options.signal);
    const run: Session['run'] = (feeds, into) => session.run({ ...weights, ...feeds }, into);
    const kept: Kept[] = [];
    for (const [i, batch] of calibration.batches.entries()) {
      options.signal?.throwIfAborted();
      kept.push(await this.store.add(await step(run, batch, i)));
      this.progress(i, work);
    }
    return kept;
  }

  private async session<T>(graph: Uint8Array, work: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.runtime.session(graph);
    try {
      return await work(session);
    } finally {
      await session.release();
    }
  }

  private tensor(values: Float32Array) {
    const { hiddenSize } = this.program.size;
    const { length } = this.calibration;
    return this.runtime.floats(values, [values.length / hiddenSize / length, length, hiddenSize]);
  }

  private progress(batch: number, work: number): void {
    const { batches, length, tokens } = this.calibration;
    this.done += batches[batch]!.tokens.length * length * work;
    const stages = this.program.layers.length + 1;
    this.options.onProgress?.(this.done, tokens * stages * (1 + BACK) + tokens * BACK);
  }
}

/** Reads an array for the last time. */
async function take(kept: Kept): Promise<Float32Array> {
  const values = await kept.read();
  kept.release();
  return values;
}
