import { backward } from '../../src/onnx/gradient.js';
import { Graph, type Value } from '../../src/onnx/graph.js';
import { loadRuntime } from '../../src/onnx/node/runtime.js';
import type { Feeds } from '../../src/onnx/runtime.js';
import { seededRandom } from './safetensors.js';

const nodeRuntime = await loadRuntime();

/** Numbers from -1 to 1. */
export function spread(count: number, seed: number): Float32Array {
  const random = seededRandom(seed * 7919 + 1);
  for (let i = 0; i < 8; i++) random();
  return Float32Array.from({ length: count }, () => 2 * random() - 1);
}

export const size = (shape: readonly number[]) => shape.reduce((product, length) => product * length, 1);

export const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

/** Runs a graph once. */
export async function runOnce(g: Graph, feeds: Feeds): Promise<Record<string, Float32Array>> {
  const session = await nodeRuntime.session(g.encode());
  try {
    const results = await session.run(feeds);
    return Object.fromEntries(
      Object.entries(results).map(([name, { data }]) => [name, (data as Float32Array).slice()]),
    );
  } finally {
    await session.release();
  }
}

/** An operation to differentiate: those of its inputs named `weight...` are tensors of a checkpoint. */
export interface Case {
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** The shape of what it gives. */
  readonly shape: readonly number[];
  build(g: Graph, inputs: Record<string, Value>): Value;
}

/** The largest difference between a case's gradients and central finite differences, element by element, and the largest gradient. */
export async function compareWithDifferences({ inputs, shape, build }: Case) {
  const graph = () => {
    const g = new Graph('case');
    const values = Object.fromEntries(
      Object.entries(inputs).map(([name, dims]) => [
        name,
        name.startsWith('weight') ? g.weight(name, dims) : g.input(name, dims),
      ]),
    );
    g.output('out', build(g, values), shape);
    return { g, values };
  };
  const data = Object.fromEntries(
    Object.entries(inputs).map(([name, dims], i) => [name, spread(size(dims), i + 1)]),
  );
  const feeds = () =>
    Object.fromEntries(
      Object.entries(data).map(([name, values]) => [name, nodeRuntime.floats(values, inputs[name]!)]),
    );
  const cotangent = spread(size(shape), 99);
  const { g, values } = graph();
  const names = Object.keys(inputs);
  const seeds = new Map([['out', g.input('cotangent', shape)]]);
  const found = backward(
    g,
    seeds,
    names.map((name) => values[name]!),
  );
  for (const [i, name] of names.entries()) g.output(`d ${name}`, found[i]!, inputs[name]!);
  const analytic = await runOnce(g, { ...feeds(), cotangent: nodeRuntime.floats(cotangent, shape) });
  const session = await nodeRuntime.session(graph().g.encode());
  const loss = async () => dot((await session.run(feeds())).out!.data as Float32Array, cotangent);
  let difference = 0;
  let largest = 0;
  const step = 1 / 128;
  for (const name of names)
    for (let i = 0; i < data[name]!.length; i++) {
      const before = data[name]![i]!;
      data[name]![i] = before + step;
      const above = await loss();
      data[name]![i] = before - step;
      const below = await loss();
      data[name]![i] = before;
      const gradient = analytic[`d ${name}`]![i]!;
      difference = Math.max(difference, Math.abs((above - below) / (2 * step) - gradient));
      largest = Math.max(largest, Math.abs(gradient));
    }
  await session.release();
  return { difference, largest };
}
