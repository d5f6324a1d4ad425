import { sumOf } from '../../core/sum.js';

/** A vector to tune, with its gradient and Adam's moments. */
export interface TunedVector {
  readonly values: Float32Array;
  readonly gradient: Float32Array;
  readonly mean: Float64Array;
  readonly square: Float64Array;
  /** Its initial root mean square: the unit of its updates. */
  readonly size: number;
}

const [MEAN_DECAY, SQUARE_DECAY] = [0.9, 0.98];

/** Returns the initial state of a vector. @param values updated in place by every step. */
export function tunedVector(values: Float32Array): TunedVector {
  const square = sumOf(values, (value) => value * value);
  return {
    values,
    gradient: new Float32Array(values.length),
    mean: new Float64Array(values.length),
    square: new Float64Array(values.length),
    size: Math.sqrt(square / values.length) || 1e-3,
  };
}

/** Makes one step of Adam (arXiv 1412.6980), in units of the vector's `size`. @param step from 0. */
export function adam(
  { values, gradient, mean, square, size }: TunedVector,
  step: number,
  rate: number,
): void {
  const [meanScale, squareScale] = [1 - MEAN_DECAY ** (step + 1), 1 - SQUARE_DECAY ** (step + 1)];
  for (let i = 0; i < values.length; i++) {
    mean[i] = MEAN_DECAY * mean[i]! + (1 - MEAN_DECAY) * gradient[i]!;
    square[i] = SQUARE_DECAY * square[i]! + (1 - SQUARE_DECAY) * gradient[i]! ** 2;
    const move = mean[i]! / meanScale / (Math.sqrt(square[i]! / squareScale) + 1e-12);
    values[i]! -= rate * size * move;
  }
}
