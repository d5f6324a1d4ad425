import { BLOCK_INPUTS } from '../../architectures/attention.js';
import { positionFeeds, tokenFeeds } from '../../inference/block-inputs.js';
import { type Feeds, floatsOf, type Outputs, type Runtime, type Session } from '../../onnx/runtime.js';
import type { ArrayStore, StoredArray } from './array-store.js';
import { BACKWARD_NAMES } from './backward-graph.js';
import type { Batch } from './batches.js';
import type { Calibration } from './calibration.js';
import { BACKWARD_COST, LayerPasses, take } from './layer-pass.js';
import type { Receiver } from './receiver.js';
import { embeddingStage, LayerStages, layerGraphs, type Stage } from './stages.js';
import { momentsOf, unitsOf } from './units.js';

export interface BackpropagationOptions {
  /** Stores hidden states for the backward pass. */
  readonly store: ArrayStore;
  /** The batches to run, from the first up to another; default: all. Results of a batch do not depend on the others. */
  readonly range?: readonly [first: number, end: number] | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs batches of a calibration forward and back. The forward pass stores the input of each layer; the backward pass recomputes each
 * layer's inner values, so that memory holds one layer.
 */
export class Backpropagation {
  private readonly batches: readonly Batch[];
  private readonly skipped: readonly Batch[];
  private readonly passes: LayerPasses;
  /** Inputs of layers that depend on positions, by the length of a batch. */
  private readonly positions = new Map<number, (layer: number) => Feeds>();

  constructor(
    private readonly runtime: Runtime,
    private readonly calibration: Calibration,
    { range: [first, end] = [0, Number.POSITIVE_INFINITY], ...options }: BackpropagationOptions,
  ) {
    const { program } = calibration;
    const { batches } = calibration.batches;
    this.batches = batches.slice(first, end);
    this.skipped = batches.slice(0, first);
    this.passes = new LayerPasses(runtime, program, this.batches, options);
    for (const { length } of this.batches)
      if (!this.positions.has(length)) this.positions.set(length, positionFeeds(runtime, program, 0, length));
  }

  /** Runs all stages, from the head to the embedding. */
  async run(receiver: Receiver): Promise<void> {
    const states = await this.forward();
    let cotangents = await this.end(states.pop()!, receiver);
    cotangents = await this.back(states, cotangents, receiver);
    await this.embedding(cotangents, receiver);
  }

  /** Runs the forward pass. @returns the input of each layer, and of the head. */
  private async forward(): Promise<StoredArray[][]> {
    const { runtime, passes } = this;
    const { program, batches } = this.calibration;
    const { graph, weights } = program.embedding;
    const states = [
      await passes.withSession(graph.encode(), (session) =>
        passes.run(session, weights, 1, async (run, { tokens }) =>
          floatsOf((await run(tokenFeeds(runtime, program, tokens)))[BLOCK_INPUTS.hiddenOut]),
        ),
      ),
    ];
    const graphs = layerGraphs(program, batches);
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
  private async end(states: readonly StoredArray[], receiver: Receiver): Promise<StoredArray[]> {
    const { calibration } = this;
    const pass = await calibration.openEnd();
    try {
      for (const batch of this.skipped) pass.skip(batch);
      const received = pass.stage && (await receiver.open(pass.stage));
      const cotangents = await this.passes.each(BACKWARD_COST, async (batch, i) =>
        pass.batch(await take(states[i]!), batch, received),
      );
      await received?.close();
      return cotangents;
    } finally {
      await pass.release();
    }
  }

  /** Runs the backward pass, from the last layer to the first. @returns the cotangents of the embedding's output. */
  private async back(
    states: StoredArray[][],
    cotangents: StoredArray[],
    receiver: Receiver,
  ): Promise<StoredArray[]> {
    const { passes } = this;
    const { program, batches } = this.calibration;
    const stages = new LayerStages(program, batches);
    let given = cotangents;
    await passes.withSessions(async (sessionOf) => {
      for (let layer = program.layers.length - 1; layer >= 0; layer--) {
        const before = states.pop()!;
        const after = given;
        given = await this.stage(stages.of(layer), receiver, sessionOf, async (run, batch, i) => {
          const hidden = await take(before[i]!);
          const cotangent = new Float32Array(hidden.length);
          const feeds = {
            ...this.positions.get(batch.length)!(layer),
            [BLOCK_INPUTS.hidden]: passes.hidden(hidden, batch),
            [BACKWARD_NAMES.cotangent]: passes.hidden(await take(after[i]!), batch),
          };
          await run(feeds, { [BACKWARD_NAMES.cotangentOut]: passes.hidden(cotangent, batch) });
          return cotangent;
        });
      }
    });
    return given;
  }

  private async embedding(cotangents: readonly StoredArray[], receiver: Receiver): Promise<void> {
    const { passes, runtime } = this;
    const { program, batches } = this.calibration;
    await passes.withSessions((sessionOf) =>
      this.stage(embeddingStage(program, batches), receiver, sessionOf, async (run, batch, i) => {
        const cotangent = passes.hidden(await take(cotangents[i]!), batch);
        await run(
          { ...tokenFeeds(runtime, program, batch.tokens), [BACKWARD_NAMES.cotangent]: cotangent },
          {},
        );
        return new Float32Array(0);
      }),
    );
  }

  /** Runs every batch through a stage, whose values the receiver takes. @param step returns the array to store. */
  private async stage(
    stage: Stage,
    receiver: Receiver,
    sessionOf: (graph: Stage['graph']) => Promise<Session>,
    step: (
      run: (feeds: Feeds, into: Outputs) => Promise<void>,
      batch: Batch,
      i: number,
    ) => Promise<Float32Array>,
  ): Promise<StoredArray[]> {
    const received = await receiver.open(stage);
    const room = new ValueRoom(stage);
    const stored = await this.passes.run(
      await sessionOf(stage.graph),
      stage.weights,
      BACKWARD_COST,
      (run, batch, i) => {
        const receive = async (feeds: Feeds, into: Outputs) => {
          const results = await run(feeds, { ...into, ...room.of(batch) });
          room.keep(batch, results);
          await received.add(results);
        };
        return step(receive, batch, i);
      },
    );
    await received.close();
    return stored;
  }
}

/** Memory for the values of a stage, used again by batches of the same extent; those of experts have another extent each time. */
class ValueRoom {
  private readonly isFixed: boolean;
  private readonly anew: Outputs;
  private readonly rooms = new Map<string, Outputs>();

  constructor({ moments }: Stage) {
    this.isFixed = !moments.chosen;
    const names = momentsOf(unitsOf(moments)).flatMap(({ values }) => values);
    this.anew = Object.fromEntries(names.map((name) => [name, null]));
  }

  of(batch: Batch): Outputs {
    return this.rooms.get(extentOf(batch)) ?? this.anew;
  }

  keep(batch: Batch, results: Feeds): void {
    if (!this.isFixed) return;
    const values = Object.keys(this.anew).map((name) => [name, results[name]!]);
    this.rooms.set(extentOf(batch), Object.fromEntries(values));
  }
}

const extentOf = ({ tokens, length }: Batch) => `${tokens.length} ${length}`;
