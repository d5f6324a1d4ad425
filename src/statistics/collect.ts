import type { Model } from '../formats/model.js';
import { BLOCK_PORTS } from '../forward/attention.js';
import { loadWeights, positionFeeds, tokenFeeds } from '../forward/ports.js';
import {
  type Binding,
  blockGraph,
  buildProgram,
  embeddingGraph,
  headGraph,
  type Program,
} from '../forward/program.js';
import { randomNumbers } from '../forward/random.js';
import { type Feeds, floatsOf, type Runtime, type Session } from '../forward/runtime.js';
import { addBackward, BACKWARD_PORTS, type TapMoments } from './graphs.js';
import { sampleGradients } from './labels.js';
import type { TensorStatistics } from './statistics.js';

/** Takes what was found for a tensor: twice for a tied embedding. Matrices that tensors share are the same array. */
export interface StatisticsSink {
  add(tensor: string, statistics: TensorStatistics): Promise<void>;
}

/** Keeps arrays outside of memory, or in it. */
export interface ArrayStore {
  /** @returns what reads them again. */
  add(values: Float32Array): Promise<() => Promise<Float32Array>>;
}

export const memoryStore: ArrayStore = {
  add: async (values) => {
    const kept = values.slice();
    return async () => kept;
  },
};

export interface CollectOptions {
  /** Of the labels that are drawn. */
  readonly seed?: number;
  /** Where hidden states wait for the way back. */
  readonly store?: ArrayStore;
  /** Called with layers done and all: each counts once forward and twice back. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Tokens that pass a layer together. */
const BATCH_TOKENS = 1024;

/**
 * Second moments of every matrix's inputs and of the gradients of its outputs, of -log p(y) with y drawn from the model itself: the
 * true Fisher information. Forward layer by layer, then back; a layer's inner values are computed again on the way back, so
 * memory holds one layer.
 * @param windows token ids, all of one length, none longer than 512.
 * @throws {InputError} for a model that cannot be run.
 */
export async function collectStatistics(
  runtime: Runtime,
  model: Model,
  windows: readonly ArrayLike<number>[],
  sink: StatisticsSink,
  options: CollectOptions = {},
): Promise<void> {
  await new Collecting(runtime, buildProgram(model), windows, sink, options).all();
}

/** Arrays of one layer's hidden states or cotangents, a batch each. */
type Batches = (() => Promise<Float32Array>)[];

class Collecting {
  private readonly length: number;
  private readonly batches: readonly (readonly ArrayLike<number>[])[];
  private readonly tokens: number;
  private readonly store: ArrayStore;
  private readonly positions: (layer: number) => Feeds;
  private done = 0;

  constructor(
    private readonly runtime: Runtime,
    private readonly program: Program,
    windows: readonly ArrayLike<number>[],
    private readonly sink: StatisticsSink,
    private readonly options: CollectOptions,
  ) {
    this.length = windows[0]!.length;
    this.tokens = windows.length * this.length;
    const size = Math.max(1, Math.floor(BATCH_TOKENS / this.length));
    this.batches = Array.from({ length: Math.ceil(windows.length / size) }, (_, i) =>
      windows.slice(i * size, (i + 1) * size),
    );
    this.store = options.store ?? memoryStore;
    this.positions = positionFeeds(runtime, program, 0, this.length);
  }

  async all(): Promise<void> {
    const { program } = this;
    const { layers } = program;
    const inputs: Batches[] = [await this.embed()];
    for (let layer = 0; layer < layers.length; layer++)
      inputs.push(await this.forward(layer, inputs[layer]!));
    let cotangents = await this.head(inputs.pop()!);
    for (let layer = layers.length - 1; layer >= 0; layer--)
      cotangents = await this.back(layer, inputs.pop()!, cotangents);
    await this.embeddings(cotangents);
  }

  private async embed(): Promise<Batches> {
    const { graph, weights } = this.program.embedding;
    return this.through(graph.encode(), weights, async (run, batch) => {
      const { [BLOCK_PORTS.hiddenOut]: hidden } = await run(tokenFeeds(this.runtime, this.program, batch));
      return floatsOf(hidden);
    });
  }

  private async forward(layer: number, states: Batches): Promise<Batches> {
    const graph = blockGraph(this.program, { length: this.length }).encode();
    return this.through(graph, this.program.layers[layer]!, async (run, _, i) => {
      const { [BLOCK_PORTS.hiddenOut]: hidden } = await run({
        ...this.positions(layer),
        [BLOCK_PORTS.hidden]: this.hidden(await states[i]!()),
      });
      return floatsOf(hidden);
    });
  }

  private async back(layer: number, states: Batches, cotangents: Batches): Promise<Batches> {
    const graph = blockGraph(this.program, { length: this.length });
    const moments = addBackward(graph, BLOCK_PORTS.hiddenOut, true);
    const sums = new Sums(this.tokens);
    const before = await this.through(graph.encode(), this.program.layers[layer]!, async (run, _, i) => {
      const results = await run({
        ...this.positions(layer),
        [BLOCK_PORTS.hidden]: this.hidden(await states[i]!()),
        [BACKWARD_PORTS.cotangent]: this.hidden(await cotangents[i]!()),
      });
      sums.add(results);
      return floatsOf(results[BACKWARD_PORTS.cotangentOut]);
    });
    await this.give(moments, this.program.layers[layer]!, sums);
    this.progress();
    return before;
  }

  /** Draws labels from the logits. @returns the cotangents of the hidden states before the head. */
  private async head(states: Batches): Promise<Batches> {
    const { program, runtime } = this;
    const { hiddenSize, vocabulary } = program.size;
    const matrix = outputMatrixOf(program);
    const graph = headGraph(program.plan, program.size);
    const moments = addBackward(graph, 'logits', true, matrix);
    const forward = await runtime.session(program.head.graph.encode());
    const random = randomNumbers(this.options.seed ?? 1);
    const rowsAtOnce = Math.max(1, Math.floor(2 ** 24 / vocabulary));
    const sums = new Sums(this.tokens);
    const rowWeights = new Float64Array(vocabulary);
    try {
      const before = await this.through(graph.encode(), program.head.weights, async (run, _, i, weights) => {
        const hidden = await states[i]!();
        const rows = hidden.length / hiddenSize;
        const cotangent = new Float32Array(hidden.length);
        for (let start = 0; start < rows; start += rowsAtOnce) {
          const end = Math.min(rows, start + rowsAtOnce);
          const piece = runtime.floats(hidden.subarray(start * hiddenSize, end * hiddenSize), [
            1,
            end - start,
            hiddenSize,
          ]);
          const { logits } = await forward.run({ ...weights, [BLOCK_PORTS.hidden]: piece });
          const gradients = sampleGradients(floatsOf(logits), vocabulary, random, rowWeights);
          const results = await run({
            [BLOCK_PORTS.hidden]: piece,
            [BACKWARD_PORTS.cotangent]: runtime.floats(gradients, [1, end - start, vocabulary]),
          });
          sums.add(results);
          cotangent.set(floatsOf(results[BACKWARD_PORTS.cotangentOut]), start * hiddenSize);
        }
        return cotangent;
      });
      await this.give(moments, program.head.weights, sums, {
        weight: matrix,
        rows: Float32Array.from(rowWeights, (weight) => weight / this.tokens),
      });
      return before;
    } finally {
      await forward.release();
    }
  }

  private async embeddings(cotangents: Batches): Promise<void> {
    const { program, runtime } = this;
    const graph = embeddingGraph(program.plan, program.size);
    const moments = addBackward(graph, BLOCK_PORTS.hiddenOut, false);
    const sums = new Sums(this.tokens);
    await this.through(graph.encode(), program.embedding.weights, async (run, batch, i) => {
      const feeds = tokenFeeds(runtime, program, batch);
      sums.add(await run({ ...feeds, [BACKWARD_PORTS.cotangent]: this.hidden(await cotangents[i]!()) }));
      return new Float32Array(0);
    });
    for (const { tap, outputs } of moments) {
      const { name, shape } = tensorOf(program.embedding.weights, tap.weight);
      const frequencies = this.frequencies(tap.input.name, shape[0]!);
      if (frequencies)
        await this.sink.add(name, {
          kind: 'embedding',
          inputs: sums.mean(outputs!),
          outputs: frequencies,
          transposed: false,
        });
    }
  }

  /** How often each row of a table was looked up, a token; undefined for a table that is not looked up by tokens or positions. */
  private frequencies(input: string, rows: number): Float32Array | undefined {
    const { firstPosition } = this.program.plan;
    const frequencies = new Float32Array(rows);
    if (input === 'tokens')
      for (const windows of this.batches)
        for (const window of windows)
          for (let i = 0; i < this.length; i++) frequencies[window[i]!]! += 1 / this.tokens;
    else if (input === 'positions')
      frequencies.fill(1 / this.length, firstPosition, firstPosition + this.length);
    else return undefined;
    return frequencies;
  }

  private async give(
    moments: readonly TapMoments[],
    weights: readonly Binding[],
    sums: Sums,
    head?: { readonly weight: string; readonly rows: Float32Array },
  ): Promise<void> {
    for (const { tap, inputs, outputs } of moments) {
      const isHead = tap.weight === head?.weight;
      await this.sink.add(tensorOf(weights, tap.weight).name, {
        kind: isHead ? 'head' : 'linear',
        inputs: sums.mean(inputs!),
        outputs: isHead ? head!.rows : sums.mean(outputs!),
        transposed: tap.transposed,
      });
    }
  }

  /** Every batch through a graph with one set of weights; what comes out is stored. */
  private async through(
    graph: Uint8Array,
    bindings: readonly Binding[],
    step: (
      run: (feeds: Feeds) => Promise<Feeds>,
      batch: readonly ArrayLike<number>[],
      index: number,
      weights: Feeds,
    ) => Promise<Float32Array>,
  ): Promise<Batches> {
    const session: Session = await this.runtime.session(graph);
    try {
      const weights = await loadWeights(this.runtime, this.program, bindings, this.options.signal);
      const stored: Batches = [];
      for (const [i, batch] of this.batches.entries()) {
        this.options.signal?.throwIfAborted();
        const run = (feeds: Feeds) => session.run({ ...weights, ...feeds });
        stored.push(await this.store.add(await step(run, batch, i, weights)));
      }
      this.progress();
      return stored;
    } finally {
      await session.release();
    }
  }

  private hidden(values: Float32Array) {
    const { hiddenSize } = this.program.size;
    return this.runtime.floats(values, [values.length / hiddenSize / this.length, this.length, hiddenSize]);
  }

  private progress(): void {
    this.options.onProgress?.(++this.done, this.program.layers.length * 3 + 3);
  }
}

/** Sums of the graphs' second moments over batches. */
class Sums {
  private readonly totals = new Map<string, Float32Array>();
  private readonly means = new Map<string, Float32Array>();

  constructor(private readonly tokens: number) {}

  add(results: Feeds): void {
    for (const [name, tensor] of Object.entries(results)) {
      if (!name.startsWith('moment_')) continue;
      const values = floatsOf(tensor);
      const total = this.totals.get(name);
      if (!total) this.totals.set(name, values.slice());
      else for (let i = 0; i < total.length; i++) total[i]! += values[i]!;
    }
  }

  /** A mean over tokens; asked for again, the same array. */
  mean(name: string): Float32Array {
    const known = this.means.get(name);
    if (known) return known;
    const mean = this.totals.get(name)!.map((value) => value / this.tokens);
    this.means.set(name, mean);
    return mean;
  }
}

function tensorOf(bindings: readonly Binding[], weight: string) {
  return bindings.find(({ input }) => input === weight)!.tensor;
}

/** The graph's name of the matrix that gives logits: the last product of the head. */
function outputMatrixOf({ head }: Program): string {
  const products = head.weights.filter(({ tensor }) => tensor.shape.length === 2);
  return products.at(-1)!.input;
}
