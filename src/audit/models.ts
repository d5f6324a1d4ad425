import { elementCount } from '../core/dtype.js';
import { canWiden } from '../core/floats.js';
import type { Model } from '../core/model.js';
import { randomNumbers } from '../core/random.js';
import type { Artifact, Numbers } from './artifact.js';
import { sampleOf } from './sampling.js';

/**
 * A model's tensors as an artifact: numbers are samples of those of floats. @param fileBytes of the file, where it is one.
 * @throws {InputError} as the model's reads do.
 */
export async function artifactOf(
  model: Model,
  fileBytes = model.weightFiles.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
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
  return { file: model.id, kind: model.kind, fileBytes, says: new Map(), numbers, sampled };
}
