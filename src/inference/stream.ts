import { BLOCK_INPUTS } from '../architectures/attention.js';
import type { Graph } from '../onnx/graph.js';
import type { Feeds, Runtime, Session, Tensor } from '../onnx/runtime.js';
import { loadWeights, positionFeeds, tokenFeeds } from './block-inputs.js';
import { type Binding, LayerGraphs, type Program, type Trunk } from './program.js';

/** Hidden states before the head, of each window. */
export interface HiddenStates {
  /** Tokens of the longest window. */
  readonly length: number;
  /** Returns the states of one window, [length, hidden]. */
  window(index: number): Float32Array;
}

export interface StreamOptions {
  /** Called after each batch of each layer with the number of tokens times layers done. */
  readonly onProgress?: (tokenLayers: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Tokens per batch: matrix products do not get faster with more rows. */
const BATCH_TOKENS = 1024;

/**
 * Runs windows of tokens through a model up to its head, one layer at a time for all windows. Memory holds the hidden states and the
 * weights of one layer, and of the next, which is being read. Neighbors of the same length run together.
 * @throws {InputError} for weights that do not decode or are not finite.
 */
export async function streamHidden(
  runtime: Runtime,
  program: Trunk,
  windows: readonly ArrayLike<number>[],
  options: StreamOptions = {},
): Promise<HiddenStates> {
  const { hiddenSize } = program.plan;
  const batches = batchesOf(windows);
  const flow = new Flow(runtime, batches, hiddenSize, options);
  const { graph, weights } = program.embedding;
  await flow.through(
    () => graph,
    [weights],
    program,
    (_, { start, end }) => tokenFeeds(runtime, program, windows.slice(start, end)),
  );
  const lengths = [...new Set(batches.map(({ length }) => length))];
  const positions = new Map(lengths.map((length) => [length, positionFeeds(runtime, program, 0, length)]));
  const graphs = new LayerGraphs(program.plan, lengths.length === 1 ? { length: lengths[0]! } : {});
  await flow.through(
    (layer) => graphs.of(layer),
    program.layers,
    program,
    (layer, { length }, hidden) => ({
      ...positions.get(length)!(layer),
      [BLOCK_INPUTS.hidden]: hidden,
    }),
  );
  return { length: Math.max(...lengths), window: (index) => flow.window(index) };
}

/** Neighboring windows of one length. */
interface Batch {
  readonly start: number;
  readonly end: number;
  readonly length: number;
}

function batchesOf(windows: readonly ArrayLike<number>[]): Batch[] {
  const batches: Batch[] = [];
  for (let start = 0; start < windows.length; ) {
    const { length } = windows[start]!;
    const most = start + Math.max(1, Math.floor(BATCH_TOKENS / length));
    let end = start + 1;
    while (end < Math.min(most, windows.length) && windows[end]!.length === length) end++;
    batches.push({ start, end, length });
    start = end;
  }
  return batches;
}

/** The hidden states of every batch, and spare buffers for results, by their size. */
class Flow {
  private readonly states: Float32Array[];
  private readonly spares = new Map<number, Float32Array>();
  private tokenLayers = 0;

  constructor(
    private readonly runtime: Runtime,
    private readonly batches: readonly Batch[],
    private readonly hiddenSize: number,
    private readonly options: StreamOptions,
  ) {
    this.states = batches.map(
      ({ start, end, length }) => new Float32Array((end - start) * length * hiddenSize),
    );
  }

  /** Runs every batch through the graph of each set of weights, in turn. */
  async through(
    graphOf: (layer: number) => Graph,
    layers: readonly (readonly Binding[])[],
    program: Trunk,
    feeds: (layer: number, batch: Batch, hidden: Tensor) => Feeds,
  ): Promise<void> {
    const { runtime, options } = this;
    const sessions = new Map<Graph, Session>();
    const sessionOf = async (graph: Graph) => {
      const session = sessions.get(graph) ?? (await runtime.session(graph.encode()));
      sessions.set(graph, session);
      return session;
    };
    const load = (index: number) => {
      const loading = layers[index] && loadWeights(runtime, program, layers[index], options.signal);
      // awaited one layer later; until then an error must not count as unhandled
      loading?.catch(() => undefined);
      return loading;
    };
    try {
      let next = load(0);
      for (let layer = 0; layer < layers.length; layer++) {
        const session = await sessionOf(graphOf(layer));
        const weights = (await next)!;
        next = load(layer + 1);
        for (let i = 0; i < this.batches.length; i++)
          await this.step(i, session, (hidden) => ({
            ...weights,
            ...feeds(layer, this.batches[i]!, hidden),
          }));
      }
    } finally {
      for (const session of sessions.values()) await session.release();
    }
  }

  window(index: number): Float32Array {
    const batch = this.batches.findIndex(({ end }) => index < end);
    const { start, length } = this.batches[batch]!;
    const values = length * this.hiddenSize;
    const offset = (index - start) * values;
    return this.states[batch]!.subarray(offset, offset + values);
  }

  private async step(index: number, session: Session, feeds: (hidden: Tensor) => Feeds): Promise<void> {
    this.options.signal?.throwIfAborted();
    const before = this.states[index]!;
    const after = this.spares.get(before.length) ?? new Float32Array(before.length);
    await session.run(feeds(this.tensor(index, before)), {
      [BLOCK_INPUTS.hiddenOut]: this.tensor(index, after),
    });
    this.states[index] = after;
    this.spares.set(before.length, before);
    const { start, end, length } = this.batches[index]!;
    this.tokenLayers += (end - start) * length;
    this.options.onProgress?.(this.tokenLayers);
  }

  private tensor(index: number, data: Float32Array): Tensor {
    const { start, end, length } = this.batches[index]!;
    return this.runtime.floats(data, [end - start, length, this.hiddenSize]);
  }
}

/** A model's loaded head, for any number of rows of hidden states. */
export class Head {
  private constructor(
    private readonly runtime: Runtime,
    private readonly session: Session,
    private readonly weights: Feeds,
    private readonly hiddenSize: number,
    readonly vocabulary: number,
  ) {}

  static async load(runtime: Runtime, program: Program, signal?: AbortSignal): Promise<Head> {
    const weights = await loadWeights(runtime, program, program.head.weights, signal);
    const session = await runtime.session(program.head.graph.encode());
    return new Head(runtime, session, weights, program.plan.hiddenSize, program.plan.vocabulary);
  }

  /** Computes logits [rows, vocabulary] of hidden states [rows, hidden], in the memory of `into`. */
  async logits(hidden: Float32Array, into: Float32Array): Promise<Float32Array> {
    const rows = hidden.length / this.hiddenSize;
    const logits = into.subarray(0, rows * this.vocabulary);
    await this.session.run(
      { ...this.weights, [BLOCK_INPUTS.hidden]: this.runtime.floats(hidden, [1, rows, this.hiddenSize]) },
      { logits: this.runtime.floats(logits, [1, rows, this.vocabulary]) },
    );
    return logits;
  }

  release(): Promise<void> {
    return this.session.release();
  }
}
