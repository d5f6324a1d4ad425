import { sumOf } from '../../core/sum.js';
import { loadWeights } from '../../inference/block-inputs.js';
import type { Binding, Trunk } from '../../inference/program.js';
import type { Graph } from '../../onnx/graph.js';
import type { Runtime, Session, Tensor } from '../../onnx/runtime.js';
import type { ArrayStore, StoredArray } from './array-store.js';
import type { Batch } from './batches.js';

/** Cost of a layer's backward pass relative to its forward pass. */
export const BACKWARD_COST = 3;

/** Runs a graph on one batch. @returns the array to store. */
export type Step = (run: Session['run'], batch: Batch, index: number) => Promise<Float32Array>;

export interface PassOptions {
  readonly store: ArrayStore;
  /** Called with the completed and the total work, in tokens times layers; backward passes count three times. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Runs batches of a calibration through one graph after another. */
export class LayerPasses {
  private done = 0;
  private readonly tokens: number;

  constructor(
    private readonly runtime: Runtime,
    private readonly program: Trunk,
    private readonly batches: readonly Batch[],
    private readonly options: PassOptions,
  ) {
    this.tokens = sumOf(batches, ({ tokens, length }) => tokens.length * length);
  }

  /** Runs every batch through a graph with one set of weights. @param cost per token: 1, or {@link BACKWARD_COST}. */
  async run(
    session: Session,
    bindings: readonly Binding[],
    cost: number,
    step: Step,
  ): Promise<StoredArray[]> {
    const weights = await loadWeights(this.runtime, this.program, bindings, this.options.signal);
    const run: Session['run'] = (feeds, into) => session.run({ ...weights, ...feeds }, into);
    return this.each(cost, (batch, index) => step(run, batch, index));
  }

  /** Computes an array for every batch, and stores it. */
  async each(
    cost: number,
    compute: (batch: Batch, index: number) => Promise<Float32Array>,
  ): Promise<StoredArray[]> {
    const stored: StoredArray[] = [];
    for (const [i, batch] of this.batches.entries()) {
      this.options.signal?.throwIfAborted();
      stored.push(await this.options.store.add(await compute(batch, i)));
      this.report(batch, cost);
    }
    return stored;
  }

  /** Opens a graph for one use. */
  async withSession<T>(graph: Uint8Array, use: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.runtime.session(graph);
    try {
      return await use(session);
    } finally {
      await session.release();
    }
  }

  /** Opens graphs for one use, each once. */
  async withSessions<T>(use: (sessionOf: (graph: Graph) => Promise<Session>) => Promise<T>): Promise<T> {
    const sessions = new Map<Graph, Session>();
    try {
      return await use(async (graph) => {
        const session = sessions.get(graph) ?? (await this.runtime.session(graph.encode()));
        sessions.set(graph, session);
        return session;
      });
    } finally {
      for (const session of sessions.values()) await session.release();
    }
  }

  /** Returns hidden states as a tensor [windows, length, hidden]. */
  hidden(values: Float32Array, { length }: Pick<Batch, 'length'>): Tensor {
    const { hiddenSize } = this.program.plan;
    return this.runtime.floats(values, [values.length / hiddenSize / length, length, hiddenSize]);
  }

  private report(batch: Batch, cost: number): void {
    const { tokens } = this;
    this.done += batch.tokens.length * batch.length * cost;
    const stages = this.program.layers.length + 1;
    this.options.onProgress?.(this.done, tokens * stages * (1 + BACKWARD_COST) + tokens * BACKWARD_COST);
  }
}

/** Reads an array and releases it. */
export async function take(stored: StoredArray): Promise<Float32Array> {
  const values = await stored.read();
  stored.release();
  return values;
}
