import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { attend } from '../src/architectures/attention.js';
import { layerGraph } from '../src/architectures/forward.js';
import type { Model } from '../src/core/model.js';
import { loadWeights, positionFeeds } from '../src/inference/block-inputs.js';
import { buildProgram } from '../src/inference/program.js';
import { findActivation } from '../src/onnx/activations.js';
import { backward } from '../src/onnx/gradient.js';
import { Graph, type Value } from '../src/onnx/graph.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { FIXTURES } from './helpers/fixtures.js';
import { type Case, compareWithDifferences, runOnce, spread } from './helpers/gradients.js';
import { largestDifference, refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { WholeModel } from './helpers/whole-model.js';

const nodeRuntime = await loadRuntime();

/** [batch, sequence, features] of most cases. */
const ACTIVATION = [2, 3, 4];
const unary = (build: (g: Graph, x: Value) => Value, shape = ACTIVATION): Case => ({
  inputs: { x: ACTIVATION },
  shape,
  build: (g, { x }) => build(g, x!),
});
const binary = (
  build: (g: Graph, a: Value, b: Value) => Value,
  a: number[],
  b: number[],
  shape = ACTIVATION,
  names = ['a', 'b'],
): Case => ({
  inputs: { [names[0]!]: a, [names[1]!]: b },
  shape,
  build: (g, values) => build(g, values[names[0]!]!, values[names[1]!]!),
});
const integers = (g: Graph, values: number[], shape: number[]) =>
  g.operation('Reshape', [g.integers(values), g.integers(shape)]);
const activation = (name: string) => unary((g, x) => findActivation(name)(g, g.multiply(x, g.scalar(2.5))));

const CASES: Record<string, Case> = {
  Identity: unary((g, x) => g.operation('Identity', [x])),
  Add: binary((g, a, b) => g.add(a, b), ACTIVATION, ACTIVATION),
  'Add of a bias': binary((g, a, b) => g.add(a, b), ACTIVATION, [4], ACTIVATION, ['x', 'weight']),
  'Add of a value to itself': unary((g, x) => g.add(g.multiply(x, x), x)),
  Sub: binary((g, a, b) => g.subtract(a, b), ACTIVATION, ACTIVATION),
  'Sub from a weight': binary((g, a, b) => g.subtract(b, a), ACTIVATION, [4], ACTIVATION, ['x', 'weight']),
  Mul: binary((g, a, b) => g.multiply(a, b), ACTIVATION, ACTIVATION),
  'Mul by a weight': binary((g, a, b) => g.multiply(a, b), ACTIVATION, [4], ACTIVATION, ['x', 'weight']),
  'Div by a number a token': binary(
    (g, a, b) => g.operation('Div', [a, g.add(b, g.scalar(3))]),
    ACTIVATION,
    [2, 3, 1],
  ),
  'MatMul by a matrix [in, out]': binary(
    (g, a, b) => g.matmul(a, b),
    ACTIVATION,
    [4, 5],
    [2, 3, 5],
    ['x', 'weight'],
  ),
  'MatMul of activations': binary(
    (g, a, b) => g.matmul(a, b),
    [2, 2, 1, 3, 4],
    [2, 2, 1, 4, 5],
    [2, 2, 1, 3, 5],
  ),
  'FusedMatMul by a matrix [out, in]': binary(
    (g, a, b) => g.matmulTransposed(a, b, 0.5),
    ACTIVATION,
    [5, 4],
    [2, 3, 5],
    ['x', 'weight'],
  ),
  'FusedMatMul by keys that queries share': binary(
    (g, a, b) => g.matmulTransposed(a, b, 0.7),
    [2, 2, 3, 3, 4],
    [2, 2, 1, 5, 4],
    [2, 2, 3, 3, 5],
  ),
  'MatMul by values that queries share': binary(
    (g, a, b) => g.matmul(a, b),
    [1, 2, 3, 3, 5],
    [1, 2, 1, 5, 4],
    [1, 2, 3, 3, 4],
  ),
  LayerNormalization: {
    inputs: { x: ACTIVATION, 'weight.weight': [4], 'weight.bias': [4] },
    shape: ACTIVATION,
    build: (g, { x, ...of }) => g.layerNorm(x!, of['weight.weight']!, of['weight.bias'], 0.1),
  },
  'RMS norm': {
    inputs: { x: ACTIVATION, 'weight.weight': [4] },
    shape: ACTIVATION,
    build: (g, { x, ...of }) => g.multiply(g.rms(x!, 0.1), of['weight.weight']!),
  },
  ReduceMean: unary((g, x) => g.operation('ReduceMean', [x, g.integers([-1])], { keepdims: 1 }), [2, 3, 1]),
  ReduceMax: unary((g, x) => g.operation('ReduceMax', [x, g.integers([1])], { keepdims: 1 }), [2, 1, 4]),
  Sqrt: unary((g, x) => g.operation('Sqrt', [g.add(x, g.scalar(2))])),
  Softmax: unary((g, x) => g.softmax(g.multiply(x, g.scalar(2)))),
  Sigmoid: unary((g, x) => g.operation('Sigmoid', [x])),
  Tanh: activation('tanh'),
  Relu: activation('relu'),
  Gelu: activation('gelu'),
  FastGelu: activation('gelu_new'),
  SiLU: activation('silu'),
  Reshape: unary((g, x) => g.reshape(x, [0, 0, 2, 2]), [2, 3, 2, 2]),
  Transpose: unary((g, x) => g.transpose(x, [1, 2, 0]), [3, 4, 2]),
  Concat: binary((g, a, b) => g.concat([a, b, a], 1), ACTIVATION, [2, 1, 4], [2, 7, 4]),
  Split: unary(
    (g, x) => {
      const [a, b] = g.split(x, [2, 2], 2);
      return g.multiply(g.multiply(a!, b!), a!);
    },
    [2, 3, 2],
  ),
  'Split with a part that is not used': unary((g, x) => g.split(x, [1, 3], 2)[1]!, [2, 3, 3]),
  Slice: unary((g, x) => g.multiply(g.slice(x, 1, 3, 1), g.slice(x, 0, 2, 1)), [2, 2, 4]),
  'Slice from the end': unary((g, x) => g.slice(x, 1, -1, 1), [2, 1, 4]),
  'zeros before the start': unary((g, x) => g.multiply(g.padStart(x, 2, 1), g.padStart(x, 2, 1)), [2, 5, 4]),
  'Expand to all heads': binary(
    (g, a, b) => g.multiply(a, g.expand(g.reshape(b, [1, 1, 4]), g.operation('Shape', [a]), [0, 1])),
    ACTIVATION,
    [4],
    ACTIVATION,
    ['x', 'weight'],
  ),
  'ReduceSum over experts': unary(
    (g, x) => g.operation('ReduceSum', [g.multiply(x, x), g.integers([2])], { keepdims: 1 }),
    [2, 3, 1],
  ),
  Clip: unary((g, x) => g.multiply(g.operation('Clip', [x, g.scalar(-0.31), g.scalar(0.62)]), x)),
  Min: unary((g, x) => g.multiply(g.operation('Min', [x, g.scalar(0.37)]), x)),
  'GatherElements and ScatterElements': unary((g, x) => {
    const flat = g.reshape(x, [6, 4]);
    const best = integers(g, [0, 2, 1, 3, 3, 0, 2, 1, 0, 1, 2, 3], [6, 2]);
    const chosen = g.operation('GatherElements', [flat, best], { axis: 1 });
    const zeros = g.operation('Expand', [g.scalar(0), g.integers([6, 4])]);
    const scattered = g.operation('ScatterElements', [zeros, best, g.multiply(chosen, chosen)], { axis: 1 });
    return g.reshape(scattered, ACTIVATION);
  }),
  'rows of chosen tokens, added again': unary((g, x) => {
    const flat = g.reshape(x, [6, 4]);
    const rows = g.integers([4, 1, 2]);
    const chosen = g.gather(flat, rows);
    return g.reshape(g.scatterAdd(flat, rows, g.multiply(chosen, chosen)), ACTIVATION);
  }),
  'Gather by tokens, some of them the same': {
    inputs: { weight: [5, 4] },
    shape: ACTIVATION,
    build: (g, { weight }) => g.gather(weight!, integers(g, [0, 3, 3, 1, 3, 0], [2, 3])),
  },
  'Gather by positions, for all sequences': {
    inputs: { weight: [5, 4], x: ACTIVATION },
    shape: ACTIVATION,
    build: (g, { weight, x }) => g.add(x!, g.gather(weight!, integers(g, [1, 2, 3], [3]))),
  },
  'Gather of one row, for all tokens': {
    inputs: { weight: [2, 4], x: ACTIVATION },
    shape: ACTIVATION,
    build: (g, { weight, x }) => g.add(x!, g.gather(weight!, g.integer(1))),
  },
  'attention, four queries on two keys': {
    inputs: { q: [2, 3, 16], k: [2, 3, 8], v: [2, 3, 8] },
    shape: [2, 3, 16],
    build: (g, { q, k, v }) => {
      const heads = { causal: false, heads: 4, keyValueHeads: 2, headSize: 4, valueSize: 4, scale: 0.5 };
      return attend(g, heads as never, [q!, k!, v!], {});
    },
  },
};

describe('gradients of operations are central finite differences', () => {
  it.each(Object.keys(CASES))('%s', async (name) => {
    const { difference, largest } = await compareWithDifferences(CASES[name]!);
    expect(largest).toBeGreaterThan(0.1);
    expect(difference).toBeLessThan(1e-3 * Math.max(1, largest));
  });

  it('an operation without a rule is refused by name', async () => {
    const g = new Graph('unknown');
    const x = g.input('x', ACTIVATION);
    g.output('out', g.operation('Erf', [x]), ACTIVATION);
    const seeds = new Map([['out', g.input('cotangent', ACTIVATION)]]);
    expect(await refusalOf(() => backward(g, seeds, [x]))).toBe('no gradient rule for Erf');
  });
});

const NAMES = ['gpt_neo', 'gpt2', 'roberta', 'llama', 'qwen2', 'gpt_neox'];

describe('gradients of whole models are finite differences of the loss', () => {
  it.each(NAMES)('%s: hidden states, every weight, and what linear layers give', async (name) => {
    const model = await WholeModel.of(join(FIXTURES, name));
    const found = await model.gradients();
    expect(found.length).toBeGreaterThan(12);
    for (const { place, gradient } of found) {
      const { measured, expected, norm } = await model.difference(place, gradient);
      expect.soft(Math.abs(measured - expected), place).toBeLessThan(0.01 * norm + 0.01);
    }
    for (const { place, difference } of await model.products())
      expect.soft(difference, place).toBeLessThan(1e-4);
  });

  it('attention in blocks of queries has the gradient of attention in one', async () => {
    const memory = await MemoryModel.of(join(FIXTURES, 'llama'));
    const program = buildProgram(memory as unknown as Model);
    const [length, hidden] = [600, 48];
    const values = (seed: number) => nodeRuntime.floats(spread(length * hidden, seed), [1, length, hidden]);
    const feeds = {
      ...positionFeeds(nodeRuntime, program, 0, length)(1),
      ...(await loadWeights(nodeRuntime, program, program.layers[1]!)),
      hidden: values(1),
      cotangent: values(2),
    };
    const [whole, blocks] = await Promise.all(
      [{}, { length }].map(async (use) => {
        const g = layerGraph(program.plan, 1, use);
        const shape = ['batch', 'sequence', hidden];
        const seeds = new Map([['hidden_out', g.input('cotangent', shape)]]);
        g.output('before', backward(g, seeds, [{ name: 'hidden' }])[0]!, shape);
        const slices = g.operationNodes.filter(({ operation }) => operation === 'Slice').length;
        return { slices, before: (await runOnce(g, feeds)).before! };
      }),
    );
    expect([whole!.slices, blocks!.slices > 4]).toEqual([0, true]);
    expect(largestDifference(whole!.before, blocks!.before)).toBeLessThan(1e-4);
  });
});
