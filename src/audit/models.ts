import { elementCount } from '../formats/dtype.js';
import type { Model } from '../formats/model.js';
import { randomNumbers } from '../forward/random.js';
import { canWiden } from '../forward/widen.js';
import type { Artefact, Numbers } from './artefact.js';
import { sampleOf } from './sampling.js';

/**
 * A model's tensors as an artefact: numbers are samples of those of floats. @param fileBytes of the file, where it is one.
 * @throws {InputError} as the model's reads do.
 */
export async function artefactOf(
  model: Model,
  fileBytes = model.weightFiles.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
): Promise<Artefact> {
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
