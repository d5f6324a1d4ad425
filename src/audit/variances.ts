import { elementCount } from '../core/dtype.js';
import { canWiden } from '../core/floats.js';
import type { Model } from '../core/model.js';
import { randomNumbers } from '../core/random.js';
import { sumOf } from '../core/sum.js';
import { sampleOf } from './sampling.js';
import type { Part } from './water-filling.js';

/** Minimum length of a row for an estimate of its variance. */
const MIN_WEIGHTS = 64;

/** Samples a model's weights and returns their variances: one per matrix row if rows are sampled whole, else one per tensor. */
export async function varianceParts(model: Model): Promise<Part[]> {
  const random = randomNumbers(0);
  const parts: Part[] = [];
  for (const tensor of model.tensors) {
    if (!canWiden(tensor.dtype) || elementCount(tensor.shape) === 0) continue;
    const { first, taken, count, values } = await sampleOf(model, tensor, random);
    const width = tensor.shape.at(-1)!;
    const step = width >= MIN_WEIGHTS && taken >= width ? width : taken;
    const begin = step === width ? (width - (first % width)) % width : 0;
    const rows = Math.max(1, Math.floor((taken - begin) / step));
    for (let row = 0; row < rows; row++) {
      const part = values.subarray(begin + row * step, begin + (row + 1) * step);
      parts.push({ weights: count / rows, variance: sumOf(part, (w) => w * w) / part.length });
    }
  }
  return parts;
}
