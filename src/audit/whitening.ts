/** Neighbors that a number is predicted from, at most. */
const MAX_ORDER = 8;
/** Numbers for each neighbor, so that the prediction is not fitted to noise. */
const NUMBERS_EACH = 8;

/**
 * What of a list its own neighbors do not predict. Two lists that are smooth, or oscillate, are alike without one saying anything of the
 * other; what is left of them here is not. By Burg's method, which finds decays and oscillations in short lists too.
 */
export function whitened(values: Float64Array): Float64Array {
  const mean = values.reduce((sum, value) => sum + value / values.length, 0);
  let forward = values.map((value) => value - mean);
  let backward = forward.slice();
  const orders = Math.min(MAX_ORDER, Math.floor(values.length / NUMBERS_EACH));
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
