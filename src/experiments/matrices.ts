import { tensorRole } from '../architectures/registry.js';
import { elementCount } from '../core/dtype.js';
import type { Model, TensorInfo } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import { isTransformed } from '../operations/transform-encoder.js';
import { findDuplicates } from '../wpk/node/duplicates.js';

/** A matrix to compress. */
export interface LabMatrix {
  readonly tensor: TensorInfo;
  /** Names of all tensors with this matrix: a tied head has two names in some files. */
  readonly names: readonly string[];
  readonly role: string;
  readonly elements: number;
}

/** Reads the matrices of a model, tied ones once. Methods do not change norms and biases. */
export async function matricesOf(model: Model): Promise<LabMatrix[]> {
  const duplicates = await findDuplicates(
    model.tensors.map(({ name, dtype, lengthBytes }) => ({
      dtype,
      lengthBytes,
      read: (start, end) => model.readTensor(name, start, end),
    })),
  );
  return model.tensors.flatMap((tensor, i) => {
    if (duplicates[i] !== undefined || !isTransformed(model, tensor)) return [];
    const names = model.tensors.filter((_, j) => j === i || duplicates[j] === i).map(({ name }) => name);
    return [{ tensor, names, role: tensorRole(tensor, model.config), elements: elementCount(tensor.shape) }];
  });
}

/** Number of weights in all matrices, and their bytes in the model's files. */
export interface Extent {
  readonly weights: number;
  readonly bytes: number;
}

export function extentOf(matrices: readonly LabMatrix[]): Extent {
  const sum = (of: (matrix: LabMatrix) => number) => sumOf(matrices, (matrix) => of(matrix));
  return {
    weights: sum(({ elements }) => elements),
    bytes: sum(({ tensor: { storedBytes, lengthBytes } }) => storedBytes ?? lengthBytes),
  };
}
