import { embeddingGraph, headGraph, layerGraph } from '../../src/architectures/forward.js';
import { readFloats } from '../../src/core/floats.js';
import type { Model } from '../../src/core/model.js';
import { loadWeights, positionFeeds, tokenFeeds } from '../../src/inference/block-inputs.js';
import { type Binding, buildProgram, type Program } from '../../src/inference/program.js';
import { backward } from '../../src/onnx/gradient.js';
import type { Graph } from '../../src/onnx/graph.js';
import { loadRuntime } from '../../src/onnx/node/runtime.js';
import type { Feeds } from '../../src/onnx/runtime.js';
import { matmulSitesOf } from '../../src/quantization/calibration/matmul-sites.js';
import { logProbabilities } from './gpt-neo-reference.js';
import { dot, runOnce, spread } from './gradients.js';
import { MemoryModel } from './memory-model.js';

const nodeRuntime = await loadRuntime();

/** A tensor's name, or `hidden` for what goes into the middle layer. */
type Place = string;

const BATCH = 2;
const LENGTH = 8;

/** A tiny model with a loss, its gradients by graphs of every stage, and the loss' finite differences. */
export class WholeModel {
  private readonly tokens: number[][];
  private readonly labels: number[];
  /** The layer that is differentiated. */
  private readonly layer = 1;
  private readonly stages: Stage[];

  private constructor(
    private readonly memory: MemoryModel,
    private readonly program: Program,
  ) {
    const { vocabulary } = program.plan;
    const draw = (count: number, seed: number) =>
      Array.from(spread(count, seed), (value) => Math.floor(((value + 1) / 2) * vocabulary));
    this.tokens = Array.from({ length: BATCH }, (_, i) => draw(LENGTH, i + 1));
    this.labels = draw(BATCH * LENGTH, 5);
    const layers = program.layers.map(
      (weights, layer): Stage => ({
        graph: () => layerGraph(program.plan, layer, { length: LENGTH }),
        weights,
        feeds: positionFeeds(nodeRuntime, program, 0, LENGTH)(layer),
        output: 'hidden_out',
      }),
    );
    this.stages = [
      {
        graph: () => embeddingGraph(program.plan),
        weights: program.embedding.weights,
        feeds: tokenFeeds(nodeRuntime, program, this.tokens),
        output: 'hidden_out',
      },
      ...layers,
      {
        graph: () => headGraph(program.plan),
        weights: program.head.weights,
        feeds: {},
        output: 'logits',
      },
    ];
  }

  /** The model in a folder, its weights widened to float32 so that they can be moved by little. */
  static async of(path: string): Promise<WholeModel> {
    const memory = await MemoryModel.of(path);
    const model = memory as unknown as Model;
    const { embedding, layers, head } = buildProgram(model);
    const bindings = [...embedding.weights, ...layers.flat(), ...head.weights];
    for (const tensor of new Set(bindings.map(({ tensor }) => tensor)))
      memory.set(tensor.name, tensor.shape, (await readFloats(model, tensor)).slice());
    return new WholeModel(memory, buildProgram(model));
  }

  /** Of the hidden states before the middle layer, and of every weight of that layer, the embedding and the head. */
  async gradients(): Promise<{ place: Place; gradient: Float32Array }[]> {
    const sums = new Map<Place, Float32Array>();
    for (const { place, gradient } of await this.back()) {
      const known = sums.get(place);
      sums.set(place, known ? known.map((value, i) => value + gradient[i]!) : gradient); // tied: both uses
    }
    return [...sums].map(([place, gradient]) => ({ place, gradient }));
  }

  /** The loss' derivative along random signs, measured and from a gradient; and what such derivatives typically are. */
  async difference(place: Place, gradient: Float32Array) {
    const direction = spread(gradient.length, 17).map(Math.sign);
    const weights = place === 'hidden' ? await this.hidden() : this.memory.floats(place);
    const step = 0.004 * Math.sqrt(dot(weights, weights) / weights.length) + 1e-4;
    const moved = (sign: number) => weights.map((value, i) => value + sign * step * direction[i]!);
    const loss = async (values: Float32Array) => {
      if (place === 'hidden') return this.loss(values);
      const original = weights.slice();
      weights.set(values);
      const found = await this.loss();
      weights.set(original);
      return found;
    };
    const measured = ((await loss(moved(1))) - (await loss(moved(-1)))) / (2 * step);
    return { measured, expected: dot(gradient, direction), norm: Math.sqrt(dot(gradient, gradient)) };
  }

  /** For every linear layer's matrix, how far the sum of g x^T over its tokens is from its gradient, relative. */
  async products(): Promise<{ place: Place; difference: number }[]> {
    const results = [];
    for (const { place, gradient, site } of await this.back()) {
      if (!site) continue;
      const { inputs, outputs, transposed } = site;
      const [columns, rows] = [inputs.length / (BATCH * LENGTH), outputs.length / (BATCH * LENGTH)];
      const product = new Float64Array(gradient.length);
      for (let token = 0; token < BATCH * LENGTH; token++)
        for (let row = 0; row < rows; row++)
          for (let column = 0; column < columns; column++)
            product[transposed ? column * rows + row : row * columns + column]! +=
              outputs[token * rows + row]! * inputs[token * columns + column]!;
      const largest = gradient.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const difference = product.reduce(
        (most, value, i) => Math.max(most, Math.abs(value - gradient[i]!)),
        0,
      );
      results.push({ place, difference: difference / largest });
    }
    return results;
  }

  /** Every stage's gradients, from the head to the embedding; of the layers only the middle one's are given. */
  private async back() {
    const found: { place: Place; gradient: Float32Array; site: Linear | undefined }[] = [];
    const states = await this.forward();
    let cotangent = this.lossOf(states.at(-1)!).gradient;
    for (let index = this.stages.length - 1; index >= 0; index--) {
      const stage = this.stages[index]!;
      const g = stage.graph();
      const { names, feeds } = await this.differentiate(g, stage, index, states[index - 1]);
      const results = await runOnce(g, { ...feeds, cotangent: this.tensor(cotangent) });
      const isGiven = index === 0 || index === this.layer + 1 || index === this.stages.length - 1;
      if (isGiven)
        for (const { tensor, input, site } of names)
          found.push({
            place: tensor,
            gradient: results[`d ${input}`]!,
            site: site && {
              inputs: results[`x ${input}`]!,
              outputs: results[`g ${input}`]!,
              transposed: site.transposed,
            },
          });
      if (index === this.layer + 1)
        found.push({ place: 'hidden', gradient: results.before!, site: undefined });
      cotangent = results.before ?? cotangent;
    }
    return found;
  }

  private async differentiate(g: Graph, stage: Stage, index: number, before: Float32Array | undefined) {
    const hidden = index ? [{ name: 'hidden' }] : [];
    const linear = matmulSitesOf(g).filter(({ kind }) => kind === 'linear');
    const used = stage.weights;
    const wanted = [
      ...used.map(({ input }) => ({ name: input })),
      ...linear.map(({ output }) => output),
      ...hidden,
    ];
    const cotangent = g.input('cotangent', ['batch', 'sequence', 'features']);
    const found = backward(g, new Map([[stage.output, cotangent]]), wanted);
    for (const [i, { input, tensor }] of used.entries()) g.output(`d ${input}`, found[i]!, tensor.shape);
    const shape = ['batch', 'sequence', 'features'];
    for (const [i, site] of linear.entries()) {
      g.output(`x ${site.weight}`, site.input, shape);
      g.output(`g ${site.weight}`, found[used.length + i]!, shape);
    }
    if (index) g.output('before', found.at(-1)!, shape);
    const weights = await loadWeights(nodeRuntime, this.program, stage.weights);
    const feeds: Feeds = { ...stage.feeds, ...weights, ...(before && { hidden: this.tensor(before) }) };
    const names = used.map(({ input, tensor }) => ({
      input,
      tensor: tensor.name,
      site: linear.find(({ weight }) => weight === input),
    }));
    return { names, feeds };
  }

  private async hidden(): Promise<Float32Array> {
    return (await this.forward())[this.layer]!;
  }

  private async loss(hidden?: Float32Array): Promise<number> {
    return this.lossOf((await this.forward(hidden)).at(-1)!).loss;
  }

  /** What every stage gives; from the middle layer on, if what goes into it is given. */
  private async forward(hidden?: Float32Array): Promise<Float32Array[]> {
    const states: Float32Array[] = [];
    for (const [index, stage] of this.stages.entries()) {
      if (hidden && index <= this.layer) {
        states.push(hidden);
        continue;
      }
      const weights = await loadWeights(nodeRuntime, this.program, stage.weights);
      const before = states[index - 1];
      const feeds = { ...stage.feeds, ...weights, ...(before && { hidden: this.tensor(before) }) };
      states.push((await runOnce(stage.graph(), feeds))[stage.output]!);
    }
    return states;
  }

  /** The sum of -log p(label), and its gradient. */
  private lossOf(logits: Float32Array): { loss: number; gradient: Float32Array } {
    const { vocabulary } = this.program.plan;
    const gradient = new Float32Array(logits.length);
    let loss = 0;
    for (const [row, label] of this.labels.entries()) {
      const start = row * vocabulary;
      const probabilities = logProbabilities(Float64Array.from(logits.subarray(start, start + vocabulary)));
      loss -= probabilities[label]!;
      gradient.set(probabilities.map(Math.exp), start);
      gradient[start + label]! -= 1;
    }
    return { loss, gradient };
  }

  private tensor(values: Float32Array) {
    return nodeRuntime.floats(values, [BATCH, LENGTH, values.length / (BATCH * LENGTH)]);
  }
}

interface Stage {
  readonly graph: () => Graph;
  readonly weights: readonly Binding[];
  readonly feeds: Feeds;
  readonly output: string;
}

interface Linear {
  readonly inputs: Float32Array;
  readonly outputs: Float32Array;
  readonly transposed: boolean;
}
