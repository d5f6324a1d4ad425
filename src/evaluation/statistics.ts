import { sumOf } from '../core/sum.js';

/** A mean and its standard error due to the choice of text. */
export interface Estimate {
  /** Mean over all tokens. */
  readonly mean: number;
  /** Standard error of the mean, over windows; null for a single window. */
  readonly standardError: number | null;
}

/** Returns the mean of values in windows of equal length, with the standard error over windows. */
export function estimate(values: Float64Array, windows: number): Estimate {
  const length = values.length / windows;
  const means = Float64Array.from({ length: windows }, (_, i) =>
    average(values.subarray(i * length, (i + 1) * length)),
  );
  return { mean: average(means), standardError: errorOfMean(means) };
}

/** Returns the standard error of the mean of independent values; null for a single one. */
export function errorOfMean(values: Float64Array): number | null {
  const { length } = values;
  return length < 2 ? null : Math.sqrt(covariance(values, values) / length);
}

/** Returns Pearson's correlation, -1 to 1; null where one side does not vary. */
export function correlation(a: Float64Array, b: Float64Array): number | null {
  const variances = covariance(a, a) * covariance(b, b);
  // equal arrays give exactly 1, because sqrt(x * x) is x
  return variances > 0 ? covariance(a, b) / Math.sqrt(variances) : null;
}

/** Returns a quantile of sorted values, with linear interpolation. */
export function quantile(sorted: Float64Array, share: number): number {
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const [low, high] = [sorted[below]!, sorted[Math.ceil(position)]!];
  return low + (high - low) * (position - below);
}

function average(values: Float64Array): number {
  return sumOf(values, (value) => value) / values.length;
}

/** Returns the sample covariance; NaN for a single pair. */
function covariance(a: Float64Array, b: Float64Array): number {
  const [meanA, meanB] = [average(a), average(b)];
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - meanA) * (b[i]! - meanB);
  return sum / (a.length - 1);
}
