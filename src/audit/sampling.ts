import { DTYPE_BYTES, elementCount } from '../formats/dtype.js';
import type { Model, TensorInfo } from '../formats/model.js';
import { randomNumbers } from '../forward/random.js';
import { canWiden, widenerOf } from '../forward/widen.js';

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
  readonly error: number;
  readonly power: number;
  readonly worst: { readonly tensor: string; readonly error: number };
  /** Whether some tensors are larger than what was compared of them. */
  readonly sampled: boolean;
}

/** Compares samples of all tensors of floats that two models share. */
export async function compareSamples(model: Model, against: Model): Promise<Comparison> {
  const random = randomNumbers(0);
  const own = new Map(model.tensors.map((tensor) => [tensor.name, tensor]));
  let [shared, missing, exact, error, power] = [0, 0, 0, 0, 0];
  let worst = { tensor: '', error: 0 };
  let sampled = false;
  for (const tensor of against.tensors) {
    if (!canWiden(tensor.dtype) || elementCount(tensor.shape) === 0) continue;
    const same = own.get(tensor.name);
    if (!same || same.shape.join() !== tensor.shape.join() || !canWiden(same.dtype)) {
      missing++;
      continue;
    }
    shared++;
    const { first, taken, count, values } = await sampleOf(against, tensor, random);
    sampled ||= taken < count;
    const ours = await runOf(model, same, first, taken);
    let [e, p] = [0, 0];
    for (let i = 0; i < taken; i++) {
      e += (ours[i]! - values[i]!) ** 2;
      p += values[i]! ** 2;
    }
    if (e === 0) exact++;
    else if (p > 0 && e / p > worst.error) worst = { tensor: tensor.name, error: e / p };
    // a sample stands for all of its tensor
    error += (e * count) / taken;
    power += (p * count) / taken;
  }
  return { shared, missing, exact, error, power, worst, sampled };
}
