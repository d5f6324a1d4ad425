// Gradients of every kind of layer, and of every head, are finite differences.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { headGraph, kindOf, layerGraph } from '../src/architectures/forward.js';
import { CHOSEN } from '../src/architectures/graphs/experts.js';
import { readFloats } from '../src/core/floats.js';
import type { Model } from '../src/core/model.js';
import { loadWeights, positionFeeds } from '../src/inference/block-inputs.js';
import { type Binding, buildProgram, type Program } from '../src/inference/program.js';
import { gradientsOf } from '../src/onnx/gradient.js';
import type { Graph } from '../src/onnx/graph.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import type { Feeds } from '../src/onnx/runtime.js';
import { matmulSitesOf } from '../src/quantization/calibration/matmul-sites.js';
import { FAMILIES, RUNNABLE } from './helpers/fixtures.js';
import { dot, runOnce, spread } from './helpers/gradients.js';
import { MemoryModel } from './helpers/memory-model.js';

const nodeRuntime = await loadRuntime();
/** Rank one weights, hidden states and the inputs of products are what calibration and tuning differentiate. */
const [BATCH, LENGTH] = [2, 12];

interface Stage {
  readonly graph: () => Graph;
  readonly output: string;
  readonly weights: readonly Binding[];
  readonly feeds: Feeds;
}

function stagesOf(program: Program): Stage[] {
  const { plan } = program;
  const kinds = new Map(plan.layers.map((_, layer) => [kindOf(plan, layer), layer]));
  const feeds = positionFeeds(nodeRuntime, program, 0, LENGTH);
  const layers = [...kinds.values()].map((layer) => ({
    graph: () => layerGraph(plan, layer, { length: LENGTH }),
    output: 'hidden_out',
    weights: program.layers[layer]!,
    feeds: feeds(layer),
  }));
  const { weights } = program.head;
  return [...layers, { graph: () => headGraph(plan), output: 'logits', weights, feeds: {} }];
}

/** The derivative of <output, cotangent> along one direction per input, measured and from the gradients. */
async function compare(program: Program, { graph, output, weights, feeds }: Stage) {
  const { hiddenSize, vocabulary } = program.plan;
  const width = output === 'logits' ? vocabulary : hiddenSize;
  const shape = [BATCH, LENGTH, hiddenSize];
  const cotangent = spread(BATCH * LENGTH * width, 3);
  const given: Record<string, ReturnType<typeof nodeRuntime.floats>> = {
    ...(await loadWeights(nodeRuntime, program, weights)),
    hidden: nodeRuntime.floats(spread(BATCH * LENGTH * hiddenSize, 1), shape),
  };
  const g = graph();
  const vectors = g.weights.filter(({ shape, part }) => shape.length === 1 && !part).map(({ name }) => name);
  const sites = matmulSitesOf(g);
  const wanted = ['hidden', ...vectors, ...sites.map((site) => site.output.name)];
  const seed = g.input('cotangent', ['batch', 'sequence', 'features']);
  const found = gradientsOf(
    g,
    new Map([[output, seed]]),
    wanted.map((name) => ({ name })),
  );
  for (const [i, name] of wanted.entries()) if (found[i]) g.output(`d ${name}`, found[i], ['n']);
  for (const { weight, input } of sites) g.output(`x ${weight}`, input, ['n']);
  const all = { ...given, ...feeds, cotangent: nodeRuntime.floats(cotangent, [BATCH, LENGTH, width]) };
  const results = await runOnce(g, all);
  const forward = graph();
  const chosen = forward.marked(CHOSEN);
  if (chosen) forward.output('chosen', chosen, ['tokens', 'experts']);
  const session = await nodeRuntime.session(forward.encode());
  const run = async () => {
    const { [output]: out, chosen } = await session.run({ ...given, ...feeds });
    const experts = chosen ? (chosen.data as Float32Array).join() : '';
    return { loss: dot(out!.data as Float32Array, cotangent), experts };
  };
  const { experts } = await run();
  const differences: { name: string; error: number }[] = [];
  const check = async (name: string, gradient: ArrayLike<number>) => {
    const { data, dims } = given[name]!;
    const before = (data as Float32Array).slice();
    const direction = spread(before.length, 17).map(Math.sign);
    let step = 1e-3 * Math.sqrt(dot(before, before) / before.length) + 1e-5;
    const at = async (sign: number) => {
      const moved = before.map((value, i) => value + sign * step * direction[i]!);
      given[name] = nodeRuntime.floats(moved, dims);
      return run();
    };
    let sides = [await at(1), await at(-1)];
    // the loss jumps where a token changes its experts
    while (sides.some((side) => side.experts !== experts)) {
      step /= 4;
      sides = [await at(1), await at(-1)];
    }
    const measured = (sides[0]!.loss - sides[1]!.loss) / (2 * step);
    given[name] = nodeRuntime.floats(before, dims);
    const norm = Math.sqrt(dot(gradient, gradient));
    differences.push({ name, error: Math.abs(measured - dot(gradient, direction)) / (norm + 1) });
  };
  for (const name of ['hidden', ...vectors])
    if (results[`d ${name}`]) await check(name, results[`d ${name}`]!);
  for (const site of sites) {
    const [inputs, outputs] = [results[`x ${site.weight}`]!, results[`d ${site.output.name}`]!];
    const [rows, columns] = [site.outputSize, site.inputSize];
    const product = new Float64Array(rows * columns);
    for (let token = 0; token < inputs.length / columns; token++)
      for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++)
          product[site.transposed ? column * rows + row : row * columns + column]! +=
            outputs[token * rows + row]! * inputs[token * columns + column]!;
    await check(site.weight, product);
  }
  await session.release();
  return differences;
}

describe('gradients of hidden states, vectors and matrices are finite differences', { tags: 'slow' }, () => {
  it.each(RUNNABLE)('%s', async (name) => {
    const memory = await MemoryModel.of(join(FAMILIES, name));
    const program = buildProgram(memory as unknown as Model);
    for (const tensor of memory.tensors) await readFloats(memory as unknown as Model, tensor);
    const found = (await Promise.all(stagesOf(program).map((stage) => compare(program, stage)))).flat();
    expect(found.length).toBeGreaterThan(8);
    // differences reach over the corners of ReLU
    const tolerance = name.startsWith('opt') ? 0.25 : 0.03;
    for (const { name: place, error } of found) expect.soft(error, place).toBeLessThan(tolerance);
  });
});
