import { sumOf } from '../core/sum.js';

/** Histogram of a tensor's values, or of a sample of them. */
export interface Histogram {
  /** `steps`: a bin is a quantization level, in units of the step. `weights`: a bin is a range of values. */
  readonly unit: 'steps' | 'weights';
  /** Center of the first bin. */
  readonly first: number;
  /** Distance between centers of bins. */
  readonly width: number;
  readonly counts: readonly number[];
  /** Number of values outside of all bins, NaN and infinity among them. */
  readonly beyond: number;
  /** Statistics of the values; undefined for levels, which are not in units of weights. */
  readonly moments?: Moments | undefined;
}

/** Statistics of finite values. */
export interface Moments {
  readonly mean: number;
  /** Standard deviation. */
  readonly deviation: number;
  readonly min: number;
  readonly max: number;
  /** Number of zeros. */
  readonly zeros: number;
  /** Number of values that are NaN or infinite. */
  readonly notFinite: number;
}

const BINS = 81;
/** Range of the bins on each side of the mean, in standard deviations. */
const SIDE_DEVIATIONS = 4;

/** Counts values in bins of equal width around their mean; rare values far out are counted as beyond. */
export function distribution(parts: readonly Float32Array[]): Histogram {
  const moments = momentsOf(parts);
  const { mean, deviation, min, max } = moments;
  const low = Math.max(min, mean - SIDE_DEVIATIONS * deviation);
  const high = Math.min(max, mean + SIDE_DEVIATIONS * deviation);
  const width = high > low ? (high - low) / (BINS - 1) : Math.abs(low) || 1;
  const counts = new Array<number>(high > low ? BINS : 1).fill(0);
  let beyond = 0;
  for (const values of parts)
    for (const value of values) {
      const bin = Math.round((value - low) / width);
      if (bin >= 0 && bin < counts.length) counts[bin]!++;
      else beyond++; // NaN too
    }
  return { unit: 'weights', first: low, width, counts, beyond, moments };
}

/** Returns the statistics of finite values; all 0 where there are none. */
function momentsOf(parts: readonly Float32Array[]): Moments {
  let [sum, squares, zeros, finite] = [0, 0, 0, 0];
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const values of parts)
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      finite++;
      sum += value;
      if (value === 0) zeros++;
      if (value < min) min = value;
      if (value > max) max = value;
    }
  const all = sumOf(parts, ({ length }) => length);
  if (!finite) return { mean: 0, deviation: 0, min: 0, max: 0, zeros, notFinite: all };
  const mean = sum / finite;
  for (const values of parts)
    for (const value of values) if (Number.isFinite(value)) squares += (value - mean) ** 2;
  return { mean, deviation: Math.sqrt(squares / finite), min, max, zeros, notFinite: all - finite };
}
