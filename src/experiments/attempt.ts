import { sumOf } from '../core/sum.js';
import type { LabMatrix } from './matrices.js';

/** A model's matrices as one method left them at one size. */
export interface Attempt {
  /** All that is needed to decode the matrices: payloads and tables. */
  readonly bytes: number;
  readonly matrices: readonly MatrixAttempt[];
}

export interface MatrixAttempt {
  readonly matrix: LabMatrix;
  readonly bytes: number;
  readonly decoded: Float32Array;
  /** Sums of squares: of the differences from the original, and of the original. */
  readonly error: number;
  readonly power: number;
}

/** A way to make matrices smaller. */
export interface Method {
  readonly name: string;
  /** Makes all matrices no larger than `bytes` together, and hardly smaller; undefined when it cannot. */
  fit(bytes: number): Promise<Attempt | undefined>;
}

/** Squared differences and squares of a matrix. */
export function squares(original: Float32Array, decoded: Float32Array) {
  let [error, power] = [0, 0];
  for (let i = 0; i < original.length; i++) {
    error += (original[i]! - decoded[i]!) ** 2;
    power += original[i]! ** 2;
  }
  return { error, power };
}

/** Of some of the matrices together. */
export function relativeError(matrices: readonly MatrixAttempt[]): number {
  const sum = (key: 'error' | 'power') => sumOf(matrices, (matrix) => matrix[key]);
  return sum('power') > 0 ? sum('error') / sum('power') : 0;
}
