/** Maximum order of the linear prediction. */
const MAX_ORDER = 8;
/** Numbers per order, so that the prediction does not overfit. */
const NUMBERS_PER_ORDER = 8;

/**
 * Returns the residuals of a linear prediction of a list by Burg's method, which works for short lists too. Smooth or oscillating lists
 * correlate without sharing information; their residuals do not.
 */
export function whitened(values: Float64Array): Float64Array {
  const mean = sumOf(values, (value) => value / values.length);
  let forward = values.map((value) => value - mean);
  let backward = forward.slice();
  const orders = Math.min(MAX_ORDER, Math.floor(values.length / NUMBERS_PER_ORDER));
  for (let order = 1; order <= orders; order++) {
    let [products, energy] = [0, 0];
    for (let i = order; i < values.length; i++) {
      products += forward[i]! * backward[i - 1]!;
      energy += forward[i]! ** 2 + backward[i - 1]! ** 2;
    }
    if (!(energy > 0)) break;
    const reflection = (2 * products) / energy;
    const [f, b] = [forward, backward];
    forward = f.map((value, i) => (i < order ? 0 : value - reflection * b[i - 1]!));
    backward = b.map((_, i) => (i < order ? 0 : b[i - 1]! - reflection * f[i]!));
  }
  return forward.subarray(orders);
}

import { sumOf } from '../core/sum.js';
