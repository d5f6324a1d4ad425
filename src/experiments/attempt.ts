import { sumOf } from '../core/sum.js';
import type { LabMatrix } from './matrices.js';

/** The matrices of a model, compressed by one method to one size. */
export interface Attempt {
  /** Bytes needed to decode the matrices: payloads and tables. */
  readonly bytes: number;
  readonly matrices: readonly MatrixAttempt[];
}

export interface MatrixAttempt {
  readonly matrix: LabMatrix;
  readonly bytes: number;
  readonly decoded: Float32Array;
  /** Sums of squares of the differences from the original (error), and of the original (power). */
  readonly error: number;
  readonly power: number;
}

/** A method to compress matrices. */
export interface Method {
  readonly name: string;
  /** Compresses all matrices to at most `bytes` in total, and not much less; undefined if it cannot. */
  fit(bytes: number): Promise<Attempt | undefined>;
}

/** Computes the sums of squared differences and of squares of a matrix. */
export function squares(original: Float32Array, decoded: Float32Array) {
  let [error, power] = [0, 0];
  for (let i = 0; i < original.length; i++) {
    error += (original[i]! - decoded[i]!) ** 2;
    power += original[i]! ** 2;
  }
  return { error, power };
}

/** Returns the relative squared error of several matrices together. */
export function relativeError(matrices: readonly MatrixAttempt[]): number {
  const sum = (key: 'error' | 'power') => sumOf(matrices, (matrix) => matrix[key]);
  return sum('power') > 0 ? sum('error') / sum('power') : 0;
}
