/** Returns Pearson's correlation of two lists of equal length; 0 if one is constant or not finite. Clamped below 1, so that its atanh is finite. */
export function correlate(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const n = a.length;
  let [ma, mb] = [0, 0];
  for (let i = 0; i < n; i++) {
    ma += a[i]! / n;
    mb += b[i]! / n;
  }
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    const [x, y] = [a[i]! - ma, b[i]! - mb];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return aa > 0 && bb > 0 ? Math.max(-0.999999, Math.min(0.999999, ab / Math.sqrt(aa * bb))) : 0;
}

/** Returns the significance of a correlation of `count` pairs in standard deviations, by Fisher's transformation. */
export function significance(correlation: number, count: number): number {
  return Math.abs(Math.atanh(correlation)) * Math.sqrt(count - 3);
}

/** Returns the upper confidence bound of a correlation, `deviations` standard deviations above the one found. */
export function boundOn(found: number, deviations: number, count: number): number {
  return Math.tanh((found + deviations) / Math.sqrt(count - 3));
}

/** Returns a copy in random order. */
export function shuffled(values: Float64Array, random: () => number): Float64Array {
  const copy = values.slice();
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [copy[i], copy[j]] = [copy[j]!, copy[i]!];
  }
  return copy;
}
