import { DTYPE_BYTES, elementCount } from '../core/dtype.js';
import { canWiden, widenerOf } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import { randomNumbers } from '../core/random.js';
import { correlate, significance } from './correlation.js';

/** Maximum number of sampled elements per tensor: a run at a random offset with a fixed seed. */
const SAMPLE = 2 ** 16;

/** Reads a run of at most 65,536 of a tensor's elements, as floats, at a random offset. */
export async function sampleOf(model: Model, { name, dtype, shape }: TensorInfo, random: () => number) {
  const count = elementCount(shape);
  const taken = Math.min(count, SAMPLE);
  const first = Math.floor(random() * (count - taken + 1));
  return { first, taken, count, values: await runOf(model, { name, dtype }, first, taken) };
}

/** Reads `taken` elements of a tensor from element `first`, as floats. */
export async function runOf(
  model: Model,
  { name, dtype }: Pick<TensorInfo, 'name' | 'dtype'>,
  first: number,
  taken: number,
) {
  const width = DTYPE_BYTES[dtype];
  const bytes = await model.readTensor(name, first * width, (first + taken) * width);
  return widenerOf(model, name, dtype)(bytes);
}

export interface Comparison {
  readonly shared: number;
  /** Tensors of the other model that are missing from this one. */
  readonly missing: number;
  readonly exact: number;
  /** Weights in tensors with enough samples for a decision, and in those of them that are related. */
  readonly decided: number;
  readonly related: number;
  readonly error: number;
  readonly power: number;
  readonly worst: { readonly tensor: string; readonly error: number };
  /** Whether some tensors were only sampled. */
  readonly sampled: boolean;
}

/** Minimum number of weights to decide whether two tensors are related, and the required significance. */
const MIN_DECIDED = 64;
const DEVIATIONS = 5;

/** Compares samples of all float tensors that two models share. */
export async function compareSamples(model: Model, against: Model): Promise<Comparison> {
  const random = randomNumbers(0);
  const own = new Map(model.tensors.map((tensor) => [bareName(tensor.name), tensor]));
  let [shared, missing, exact, decided, related, error, power] = [0, 0, 0, 0, 0, 0, 0];
  let worst = { tensor: '', error: 0 };
  let sampled = false;
  for (const tensor of against.tensors) {
    if (!canWiden(tensor.dtype) || elementCount(tensor.shape) === 0) continue;
    const same = own.get(bareName(tensor.name));
    if (!same || same.shape.join() !== tensor.shape.join() || !canWiden(same.dtype)) {
      missing++;
      continue;
    }
    shared++;
    const { first, taken, count, values } = await sampleOf(against, tensor, random);
    sampled ||= taken < count;
    const ours = await runOf(model, same, first, taken);
    const { error: e, power: p } = difference(ours, values);
    const correlation = correlate(ours, values);
    if (e === 0) exact++;
    else if (p > 0 && e / p > worst.error) worst = { tensor: tensor.name, error: e / p };
    if (e === 0 || taken >= MIN_DECIDED) decided += count;
    if (e === 0 || (taken >= MIN_DECIDED && correlation > 0 && significance(correlation, taken) > DEVIATIONS))
      related += count;
    // scaled from the sample to the whole tensor
    error += (e * count) / taken;
    power += (p * count) / taken;
  }
  return { shared, missing, exact, decided, related, error, power, worst, sampled };
}

function difference(a: Float32Array, b: Float32Array): { readonly error: number; readonly power: number } {
  let [error, power] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    error += (a[i]! - b[i]!) ** 2;
    power += b[i]! ** 2;
  }
  return { error, power };
}

/** Returns a tensor's name without the prefix that some libraries add. */
function bareName(name: string): string {
  return name.replace(/^(transformer|model|gpt_neox|roberta|bert)\./, '');
}
