import { elementCount } from '../core/dtype.js';
import { canWiden } from '../core/floats.js';
import type { Model } from '../core/model.js';
import { randomNumbers } from '../core/random.js';
import { sumOf } from '../core/sum.js';
import type { Artifact, Numbers } from './artifact.js';
import { sampleOf } from './sampling.js';

/**
 * Returns a model's float tensors, sampled, as an artifact. @param fileBytes size of the file, by default of the weight files.
 * @throws {InputError} when a tensor cannot be read.
 */
export async function artifactOf(
  model: Model,
  fileBytes = sumOf(model.weightFiles, ({ lengthBytes }) => lengthBytes),
): Promise<Artifact> {
  const random = randomNumbers(0);
  const numbers: Numbers[] = [];
  let sampled = false;
  for (const tensor of model.tensors) {
    if (!canWiden(tensor.dtype) || elementCount(tensor.shape) === 0) continue;
    const { taken, count, values } = await sampleOf(model, tensor, random);
    sampled ||= taken < count;
    numbers.push({
      name: tensor.name,
      kind: tensor.dtype,
      complex: false,
      values: Float64Array.from(values),
      count,
    });
  }
  return { file: model.id, kind: model.kind, fileBytes, metadata: new Map(), numbers, sampled };
}
