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
  const mean = average(means);
  if (windows < 2) return { mean, standardError: null };
  const squares = sumOf(means, (value) => (value - mean) ** 2);
  return { mean, standardError: Math.sqrt(squares / (windows - 1) / windows) };
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

import { sumOf } from '../core/sum.js';
