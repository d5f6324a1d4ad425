/** A number of weights with equal variance. */
export interface Part {
  readonly weights: number;
  readonly variance: number;
}

/**
 * Returns the minimum relative squared error at an average rate for independent Gaussian weights of several variances, by reverse
 * water-filling: parts below the water level get no bits (Cover and Thomas, theorem 10.3.3).
 */
export function waterFilling(parts: readonly Part[], bitsPerWeight: number): number {
  const weights = sumOf(parts, (part) => part.weights);
  const rate = (level: number) =>
    parts.reduce(
      (sum, { weights: n, variance }) => sum + (variance > level ? (n * Math.log2(variance / level)) / 2 : 0),
      0,
    ) / weights;
  const max = parts.reduce((largest, { variance }) => Math.max(largest, variance), 1e-39);
  let [low, high] = [1e-40, max];
  for (let i = 0; i < 200; i++) {
    const middle = Math.sqrt(low * high);
    if (rate(middle) > bitsPerWeight) low = middle;
    else high = middle;
  }
  const energy = sumOf(parts, ({ weights: n, variance }) => n * variance);
  const error = sumOf(parts, ({ weights: n, variance }) => n * Math.min(variance, high));
  return energy > 0 ? error / energy : 0;
}

import { sumOf } from '../core/sum.js';
