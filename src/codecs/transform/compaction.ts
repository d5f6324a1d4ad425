/**
 * Returns the share of energy in the largest numbers, for each share of their count.
 * @param numbers coefficients of all blocks; a complex transform has two per weight.
 * @param shares numbers per weight, ascending.
 */
export function compactionCurve(numbers: Float64Array, weights: number, shares: readonly number[]): number[] {
  const squares = numbers.map((value) => value * value).sort();
  let total = 0;
  for (const square of squares) total += square;
  const curve: number[] = [];
  let [energy, next] = [0, squares.length];
  for (const share of shares) {
    const until = Math.max(0, squares.length - Math.round(share * weights));
    while (next > until) energy += squares[--next]!;
    curve.push(total > 0 ? energy / total : 1);
  }
  return curve;
}

/**
 * Returns the share of energy in the largest independent Gaussian numbers of equal variance: a share p of them has p + 2 t phi(t) of the
 * energy, where t is the magnitude that a share p exceeds and phi the density.
 */
export function gaussianCompaction(share: number): number {
  if (share <= 0) return 0;
  if (share >= 1) return 1;
  let [low, high] = [0, 40];
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (tail(middle) > share) low = middle;
    else high = middle;
  }
  return share + 2 * low * (Math.exp((-low * low) / 2) / Math.sqrt(2 * Math.PI));
}

/** Returns the minimum relative squared error of a Gaussian source at `bits` bits per weight: 2^(-2R) (Shannon). */
export const gaussianDistortion = (bits: number) => 2 ** (-2 * bits);

/** Returns P(|x| > t) for a standard normal x: erfc(t / sqrt 2) by its continued fraction, or by its series near 0. */
function tail(t: number): number {
  const density = Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI);
  if (t < 3) {
    let [term, sum] = [t, t];
    for (let k = 1; k < 200; k++) {
      term *= (t * t) / (2 * k + 1);
      sum += term;
    }
    return 1 - 2 * density * sum;
  }
  let fraction = 0;
  for (let k = 100; k >= 1; k--) fraction = k / (t + fraction);
  return (2 * density) / (t + fraction);
}
