import { DTYPE_BYTES, elementCount } from '../core/dtype.js';
import { canWiden, widenerOf } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import { randomNumbers } from '../core/random.js';
import { correlate, significance } from './correlation.js';

/** Elements of a tensor that are looked at: a run from a place drawn with a fixed seed. */
const SAMPLE = 2 ** 16;

/** A run of a tensor's elements as floats. @param start by default drawn. */
export async function sampleOf(model: Model, { name, dtype, shape }: TensorInfo, random: () => number) {
  const count = elementCount(shape);
  const taken = Math.min(count, SAMPLE);
  const first = Math.floor(random() * (count - taken + 1));
  return { first, taken, count, values: await runOf(model, { name, dtype }, first, taken) };
}

/** Elements `first` to `first + taken` of a tensor. */
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
  /** Tensors of the other model that this one lacks. */
  readonly missing: number;
  readonly exact: number;
  /** Weights in tensors of which enough was compared to tell, and those in tensors that are related. */
  readonly told: number;
  readonly related: number;
  readonly error: number;
  readonly power: number;
  readonly worst: { readonly tensor: string; readonly error: number };
  /** Whether some tensors are larger than what was compared of them. */
  readonly sampled: boolean;
}

/** Weights that tell whether two tensors are related, and how far from chance they are then. */
const MIN_TOLD = 64;
const DEVIATIONS = 5;

/** Compares samples of all tensors of floats that two models share. */
export async function compareSamples(model: Model, against: Model): Promise<Comparison> {
  const random = randomNumbers(0);
  const own = new Map(model.tensors.map((tensor) => [bareName(tensor.name), tensor]));
  let [shared, missing, exact, told, related, error, power] = [0, 0, 0, 0, 0, 0, 0];
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
    if (e === 0 || taken >= MIN_TOLD) told += count;
    if (e === 0 || (taken >= MIN_TOLD && correlation > 0 && significance(correlation, taken) > DEVIATIONS))
      related += count;
    // a sample stands for all of its tensor
    error += (e * count) / taken;
    power += (p * count) / taken;
  }
  return { shared, missing, exact, told, related, error, power, worst, sampled };
}

function difference(a: Float32Array, b: Float32Array): { readonly error: number; readonly power: number } {
  let [error, power] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    error += (a[i]! - b[i]!) ** 2;
    power += b[i]! ** 2;
  }
  return { error, power };
}

/** A tensor's name without the part that some libraries put before all of a model's names. */
function bareName(name: string): string {
  return name.replace(/^(transformer|model|gpt_neox|roberta|bert)\./, '');
}
