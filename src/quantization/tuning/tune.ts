import { BLOCK_INPUTS } from '../../architectures/attention.js';
import type { Model } from '../../core/model.js';
import { loadWeights, positionFeeds, tokenFeeds } from '../../inference/block-inputs.js';
import { type Binding, blockGraph, headGraph, openProgram, type Program } from '../../inference/program.js';
import { backward } from '../../onnx/gradient.js';
import type { Graph } from '../../onnx/graph.js';
import { type Feeds, floatsOf, type Runtime, type Session } from '../../onnx/runtime.js';

export interface TuneOptions {
  /** Passes over a batch, each followed by a move of all vectors. */
  readonly steps?: number;
  /** Of Adam, relative to each vector's root mean square. */
  readonly rate?: number;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** A norm's weight or bias, or a linear layer's bias: what is tuned while the matrices stay. */
interface Vector {
  readonly values: Float32Array;
  readonly gradient: Float32Array;
  readonly mean: Float64Array;
  readonly square: Float64Array;
  readonly size: number;
}

const BATCH_WINDOWS = 4;
const [MEAN_DECAY, SQUARE_DECAY] = [0.9, 0.98];

/**
 * Moves the vectors of a compressed model (norms and biases) so that its divergence from the original falls: Adam on the mean KL of
 * windows of text, back through the same graphs that statistics use. Integers and steps stay, so the file's size does.
 * @param compressed the model as it decodes. @returns the vectors by tensor name, float32.
 */
export async function tune(
  runtime: Runtime,
  original: Model,
  compressed: Model,
  windows: readonly (readonly number[])[],
  options: TuneOptions = {},
): Promise<Map<string, Float32Array>> {
  const tuning = await Tuning.open(runtime, original, compressed, windows);
  try {
    const { steps = 120, rate = 0.003 } = options;
    for (let step = 0; step < steps; step++) {
      await tuning.step(step, rate * 0.5 * (1 + Math.cos((Math.PI * step) / steps)));
      options.onProgress?.(step + 1, steps);
    }
    return tuning.result();
  } finally {
    await tuning.release();
  }
}

/** A graph with its gradients, ready to run. */
interface Differentiated {
  readonly forward: Session;
  readonly back: Session;
  /** Inputs that are tuned. */
  readonly vectors: readonly string[];
}

class Tuning {
  private readonly vectors = new Map<string, Vector>();

  private constructor(
    private readonly runtime: Runtime,
    private readonly program: Program,
    private readonly windows: readonly (readonly number[])[],
    private readonly block: Differentiated,
    private readonly head: Differentiated,
    private readonly embedding: Session,
    private readonly weights: {
      readonly embedding: Feeds;
      readonly layers: readonly Feeds[];
      readonly head: Feeds;
    },
    /** The original, which says what the logits should be. */
    private readonly teacher?: Tuning,
  ) {
    for (const bindings of [...program.layers, program.head.weights])
      for (const { tensor } of bindings)
        if (tensor.shape.length === 1 && !this.vectors.has(tensor.name)) this.addVector(tensor.name);
  }

  static async open(
    runtime: Runtime,
    original: Model,
    compressed: Model,
    windows: readonly (readonly number[])[],
  ) {
    const program = await openProgram(compressed);
    const length = windows[0]!.length;
    const blocks = () => blockGraph(program, { length });
    const heads = () => headGraph(program.plan, program.size);
    const embedding = await runtime.session(program.embedding.graph.encode());
    const block = await differentiate(runtime, blocks(), BLOCK_INPUTS.hiddenOut, blocks());
    const head = await differentiate(runtime, heads(), 'logits', heads());
    const load = async (of: Program) => ({
      embedding: await loadWeights(runtime, of, of.embedding.weights),
      layers: await Promise.all(of.layers.map((layer) => loadWeights(runtime, of, layer))),
      head: await loadWeights(runtime, of, of.head.weights),
    });
    const reference = await openProgram(original);
    const given = await load(reference);
    const parts = [runtime, program, windows, block, head, embedding] as const;
    const teacher = new Tuning(...parts, given);
    return new Tuning(...parts, await load(program), teacher);
  }

  get batches(): number {
    return Math.floor(this.windows.length / BATCH_WINDOWS);
  }

  async step(index: number, rate: number): Promise<void> {
    const batch = index % this.batches;
    const expected = await this.teacher!.logits(await this.teacher!.states(batch));
    const states = await this.states(batch);
    const logits = await this.logits(states);
    const gradient = divergenceGradient(expected, logits, this.program.size.vocabulary);
    let cotangent = await this.back(
      this.head,
      this.weights.head,
      this.program.head.weights,
      states.at(-1)!,
      gradient,
    );
    for (let layer = states.length - 2; layer >= 0; layer--) {
      const feeds = { ...this.weights.layers[layer]!, ...this.positions()(layer) };
      cotangent = await this.back(this.block, feeds, this.program.layers[layer]!, states[layer]!, cotangent);
    }
    for (const vector of this.vectors.values()) adam(vector, index, rate);
  }

  result(): Map<string, Float32Array> {
    return new Map([...this.vectors].map(([name, { values }]) => [name, values]));
  }

  async release(): Promise<void> {
    const { block, head, embedding } = this;
    await Promise.all(
      [block.forward, block.back, head.forward, head.back, embedding].map((session) => session.release()),
    );
  }

  /** What goes into each layer, and into the head. */
  private async states(batch: number): Promise<Float32Array[]> {
    const { runtime, program, weights } = this;
    const windows = this.windows.slice(batch * BATCH_WINDOWS, (batch + 1) * BATCH_WINDOWS);
    const embedded = await this.embedding.run({
      ...weights.embedding,
      ...tokenFeeds(runtime, program, windows),
    });
    const states = [floatsOf(embedded[BLOCK_INPUTS.hiddenOut])];
    for (const [layer, given] of weights.layers.entries()) {
      const feeds = {
        ...given,
        ...this.positions()(layer),
        [BLOCK_INPUTS.hidden]: this.hidden(states[layer]!),
      };
      states.push(floatsOf((await this.block.forward.run(feeds))[BLOCK_INPUTS.hiddenOut]));
    }
    return states;
  }

  private async logits(states: readonly Float32Array[]): Promise<Float32Array> {
    const feeds = { ...this.weights.head, [BLOCK_INPUTS.hidden]: this.hidden(states.at(-1)!) };
    return floatsOf((await this.head.forward.run(feeds)).logits);
  }

  private async back(
    { back, vectors }: Differentiated,
    feeds: Feeds,
    bindings: readonly Binding[],
    hidden: Float32Array,
    cotangent: Float32Array,
  ): Promise<Float32Array> {
    const rows = this.windows[0]!.length;
    const shape = [BATCH_WINDOWS, rows, cotangent.length / BATCH_WINDOWS / rows];
    const given = {
      [BLOCK_INPUTS.hidden]: this.hidden(hidden),
      cotangent: this.runtime.floats(cotangent, shape),
    };
    const results = await back.run({ ...feeds, ...given });
    for (const input of vectors) {
      const name = bindings.find((binding) => binding.input === input)!.tensor.name;
      this.vectors.get(name)!.gradient.set(floatsOf(results[`gradient ${input}`]));
    }
    return floatsOf(results.cotangent_out);
  }

  private positions() {
    return positionFeeds(this.runtime, this.program, 0, this.windows[0]!.length);
  }

  private hidden(values: Float32Array) {
    const { hiddenSize } = this.program.size;
    return this.runtime.floats(values, [BATCH_WINDOWS, this.windows[0]!.length, hiddenSize]);
  }

  private addVector(name: string): void {
    for (const [feeds, bindings] of [
      ...this.weights.layers.map((layer, i) => [layer, this.program.layers[i]!] as const),
      [this.weights.head, this.program.head.weights] as const,
    ]) {
      const binding = bindings.find(({ tensor }) => tensor.name === name);
      if (!binding) continue;
      const values = floatsOf(feeds[binding.input]);
      const size = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length) || 1e-3;
      const zeros = () => new Float64Array(values.length);
      this.vectors.set(name, {
        values,
        gradient: new Float32Array(values.length),
        mean: zeros(),
        square: zeros(),
        size,
      });
    }
  }
}

/** Sessions of a graph, and of the gradients of its hidden states and vectors. `twin` is the same graph once more. */
async function differentiate(
  runtime: Runtime,
  g: Graph,
  output: string,
  twin: Graph,
): Promise<Differentiated> {
  const vectors = g.weights.filter(({ shape }) => shape.length === 1).map(({ name }) => name);
  const cotangent = g.input('cotangent', ['batch', 'sequence', 'features']);
  const wanted = [{ name: BLOCK_INPUTS.hidden }, ...vectors.map((name) => ({ name }))];
  const gradients = backward(g, new Map([[output, cotangent]]), wanted);
  g.withdraw(output);
  g.output('cotangent_out', gradients[0]!, ['batch', 'sequence', 'hidden']);
  for (const [i, name] of vectors.entries()) g.output(`gradient ${name}`, gradients[i + 1]!, ['size']);
  return { forward: await runtime.session(twin.encode()), back: await runtime.session(g.encode()), vectors };
}

/** d(mean KL(p || q)) / d(logits of q) = (q - p) / tokens, in place of the logits. */
function divergenceGradient(reference: Float32Array, logits: Float32Array, vocabulary: number): Float32Array {
  const tokens = logits.length / vocabulary;
  const shares = new Float64Array(vocabulary);
  for (let start = 0; start < logits.length; start += vocabulary) {
    softmax(reference.subarray(start, start + vocabulary), shares);
    const row = logits.subarray(start, start + vocabulary);
    const before = shares.slice();
    softmax(row, shares);
    for (let i = 0; i < vocabulary; i++) row[i] = (shares[i]! - before[i]!) / tokens;
  }
  return logits;
}

function softmax(logits: Float32Array, into: Float64Array): void {
  let largest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) if (logit > largest) largest = logit;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) {
    into[i] = Math.exp(logits[i]! - largest);
    sum += into[i]!;
  }
  for (let i = 0; i < logits.length; i++) into[i]! /= sum;
}

/** One step of Adam (arXiv 1412.6980), in units of the vector's own size. */
function adam({ values, gradient, mean, square, size }: Vector, step: number, rate: number): void {
  const [meanScale, squareScale] = [1 - MEAN_DECAY ** (step + 1), 1 - SQUARE_DECAY ** (step + 1)];
  for (let i = 0; i < values.length; i++) {
    mean[i] = MEAN_DECAY * mean[i]! + (1 - MEAN_DECAY) * gradient[i]!;
    square[i] = SQUARE_DECAY * square[i]! + (1 - SQUARE_DECAY) * gradient[i]! ** 2;
    const move = mean[i]! / meanScale / (Math.sqrt(square[i]! / squareScale) + 1e-12);
    values[i]! -= rate * size * move;
  }
}
