import { BLOCK_INPUTS } from '../../architectures/attention.js';
import { headGraph, kindOf, layerGraph } from '../../architectures/forward.js';
import { loadWeights, positionFeeds, tokenFeeds } from '../../inference/block-inputs.js';
import type { Binding, Program } from '../../inference/program.js';
import { gradientsOf } from '../../onnx/gradient.js';
import type { Graph } from '../../onnx/graph.js';
import { type Feeds, floatsOf, type Runtime, type Session } from '../../onnx/runtime.js';

/** A forward graph, and a backward graph for the gradients of its hidden states and vectors. */
interface DifferentiatedGraph {
  readonly forward: Session;
  readonly back: Session;
  /** Names of inputs that are vectors: the weights and biases of norms, the biases of linear layers. */
  readonly vectors: readonly string[];
}

/** The graphs of an architecture, for windows of one length. */
export interface DifferentiatedGraphs {
  readonly embedding: Session;
  /** One for each layer; those of layers of the same kind are the same. */
  readonly layers: readonly DifferentiatedGraph[];
  readonly head: DifferentiatedGraph;
}

/** Builds the graphs of a program. @param length tokens per window. */
export async function differentiateProgram(
  runtime: Runtime,
  program: Program,
  length: number,
): Promise<DifferentiatedGraphs> {
  const { plan } = program;
  const byKind = new Map<string, DifferentiatedGraph>();
  const layers: DifferentiatedGraph[] = [];
  for (const layer of plan.layers.keys()) {
    const kind = kindOf(plan, layer);
    const graph = () => layerGraph(plan, layer, { length });
    if (!byKind.has(kind))
      byKind.set(kind, await differentiate(runtime, graph(), BLOCK_INPUTS.hiddenOut, graph()));
    layers.push(byKind.get(kind)!);
  }
  return {
    embedding: await runtime.session(program.embedding.graph.encode()),
    layers,
    head: await differentiate(runtime, headGraph(plan), 'logits', headGraph(plan)),
  };
}

/** Builds forward and backward graph. @param twin a second copy of the graph, which becomes the backward graph. */
async function differentiate(
  runtime: Runtime,
  g: Graph,
  output: string,
  twin: Graph,
): Promise<DifferentiatedGraph> {
  const names = g.weights.filter(({ shape, part }) => shape.length === 1 && !part).map(({ name }) => name);
  const cotangent = g.input('cotangent', ['batch', 'sequence', 'features']);
  const wanted = [{ name: BLOCK_INPUTS.hidden }, ...names.map((name) => ({ name }))];
  const [hidden, ...gradients] = gradientsOf(g, new Map([[output, cotangent]]), wanted);
  g.withdraw(output);
  g.output('cotangent_out', hidden!, ['batch', 'sequence', 'hidden']);
  // a bias that only chooses experts has no gradient
  const vectors = names.filter((_, i) => gradients[i]);
  for (const [i, name] of names.entries())
    if (gradients[i]) g.output(`gradient ${name}`, gradients[i], ['size']);
  return { forward: await runtime.session(twin.encode()), back: await runtime.session(g.encode()), vectors };
}

export async function releaseGraphs({ embedding, layers, head }: DifferentiatedGraphs): Promise<void> {
  const sessions = new Set([embedding, ...[...layers, head].flatMap(({ forward, back }) => [forward, back])]);
  await Promise.all([...sessions].map((session) => session.release()));
}

/** Hidden states of a batch of windows: the input of each layer and of the head, [windows, length, hidden]. */
export type HiddenStates = readonly Float32Array[];

interface Weights {
  readonly embedding: Feeds;
  readonly layers: readonly Feeds[];
  readonly head: Feeds;
}

/** A model with all of its weights in memory, for forward and backward passes. */
export class DifferentiableModel {
  private readonly positions: (layer: number) => Feeds;

  private constructor(
    private readonly runtime: Runtime,
    private readonly program: Program,
    private readonly graphs: DifferentiatedGraphs,
    private readonly weights: Weights,
    private readonly length: number,
  ) {
    this.positions = positionFeeds(runtime, program, 0, length);
  }

  /** Reads the weights. @param length tokens per window. */
  static async load(
    runtime: Runtime,
    program: Program,
    graphs: DifferentiatedGraphs,
    length: number,
  ): Promise<DifferentiableModel> {
    const load = (bindings: readonly Binding[]) => loadWeights(runtime, program, bindings);
    const weights = {
      embedding: await load(program.embedding.weights),
      layers: await Promise.all(program.layers.map(load)),
      head: await load(program.head.weights),
    };
    return new DifferentiableModel(runtime, program, graphs, weights, length);
  }

  /** Returns the vectors of layers and head by tensor name. Changing them in place changes the model. */
  vectors(): Map<string, Float32Array> {
    const { program, weights } = this;
    const found = new Map<string, Float32Array>();
    const add = (bindings: readonly Binding[], feeds: Feeds) => {
      for (const { input, tensor } of bindings)
        if (tensor.shape.length === 1 && !found.has(tensor.name))
          found.set(tensor.name, floatsOf(feeds[input]));
    };
    for (const [layer, bindings] of program.layers.entries()) add(bindings, weights.layers[layer]!);
    add(program.head.weights, weights.head);
    return found;
  }

  async forward(windows: readonly (readonly number[])[]): Promise<HiddenStates> {
    const { runtime, program, weights, graphs } = this;
    const feeds = { ...weights.embedding, ...tokenFeeds(runtime, program, windows) };
    const states = [floatsOf((await graphs.embedding.run(feeds))[BLOCK_INPUTS.hiddenOut])];
    for (const [layer, own] of weights.layers.entries()) {
      const hidden = { [BLOCK_INPUTS.hidden]: this.hidden(states[layer]!) };
      const results = await graphs.layers[layer]!.forward.run({
        ...own,
        ...this.positions(layer),
        ...hidden,
      });
      states.push(floatsOf(results[BLOCK_INPUTS.hiddenOut]));
    }
    return states;
  }

  /** Computes the logits, [windows, length, vocabulary]. */
  async logits(states: HiddenStates): Promise<Float32Array> {
    const feeds = { ...this.weights.head, [BLOCK_INPUTS.hidden]: this.hidden(states.at(-1)!) };
    return floatsOf((await this.graphs.head.forward.run(feeds)).logits);
  }

  /** Computes the gradients of all vectors. @param cotangent d(loss) / d(logits). @param take receives each gradient with its tensor name. */
  async backward(
    states: HiddenStates,
    cotangent: Float32Array,
    take: (name: string, gradient: Float32Array) => void,
  ): Promise<void> {
    const { program, weights, graphs } = this;
    const back = async (
      { back, vectors }: DifferentiatedGraph,
      [feeds, bindings]: readonly [Feeds, readonly Binding[]],
      hidden: Float32Array,
      given: Float32Array,
    ) => {
      const shape = [...this.windowsShape(hidden), given.length / (hidden.length / program.plan.hiddenSize)];
      const own = {
        [BLOCK_INPUTS.hidden]: this.hidden(hidden),
        cotangent: this.runtime.floats(given, shape),
      };
      const results = await back.run({ ...feeds, ...own });
      for (const input of vectors) {
        const { tensor } = bindings.find((binding) => binding.input === input)!;
        take(tensor.name, floatsOf(results[`gradient ${input}`]));
      }
      return floatsOf(results.cotangent_out);
    };
    let given = await back(graphs.head, [weights.head, program.head.weights], states.at(-1)!, cotangent);
    for (let layer = states.length - 2; layer >= 0; layer--) {
      const feeds = { ...weights.layers[layer]!, ...this.positions(layer) };
      given = await back(graphs.layers[layer]!, [feeds, program.layers[layer]!], states[layer]!, given);
    }
  }

  private windowsShape(hidden: Float32Array): [windows: number, length: number] {
    return [hidden.length / this.program.plan.hiddenSize / this.length, this.length];
  }

  private hidden(values: Float32Array) {
    return this.runtime.floats(values, [...this.windowsShape(values), this.program.plan.hiddenSize]);
  }
}
