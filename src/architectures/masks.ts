import type { DistanceBias, LayerPositions } from './settings.js';

/** A hidden key's score: finite, so that a row without any key does not become NaN. */
export const HIDDEN = -1e30;

/**
 * Returns the mask of queries at positions `start` to `end` over keys 0 to `end`: [end - start, end], or [heads, end - start, end] with
 * a bias. A causal query attends to the last `window` keys up to its own; others to keys less than `window` away on both sides.
 */
export function maskOf(
  start: number,
  end: number,
  causal: boolean,
  { window = end, bias }: LayerPositions = {},
): Float32Array {
  const rows = end - start;
  const heads = bias?.heads ?? 1;
  const mask = new Float32Array(heads * rows * end).fill(HIDDEN);
  for (let head = 0; head < heads; head++)
    for (let query = start; query < end; query++) {
      const row = (head * rows + query - start) * end;
      const last = causal ? query : Math.min(end - 1, query + window - 1);
      for (let key = Math.max(0, query + 1 - window); key <= last; key++)
        mask[row + key] = bias?.of(head, key, query) ?? 0;
    }
  return mask;
}

/** Returns the slopes of ALiBi for a number of heads: 2^(-8 i / n), with those of 2n between them where n is no power of two. */
export function alibiSlopes(heads: number): number[] {
  const closest = 2 ** Math.floor(Math.log2(heads));
  const powers = (count: number) => Array.from({ length: count }, (_, i) => 2 ** ((-8 * (i + 1)) / count));
  const between = powers(2 * closest).filter((_, i) => i % 2 === 0);
  return [...powers(closest), ...between.slice(0, heads - closest)];
}

/** Returns ALiBi's penalty for distance. */
export function alibi(heads: number): DistanceBias {
  const slopes = alibiSlopes(heads);
  return { heads, of: (head, key, query) => slopes[head]! * (key - query) };
}

/** Returns the bucket of each distance between queries and keys 0 to `length`, [length, length]: exact for near ones, logarithmic beyond. */
export function bucketsOf(length: number, buckets: number, maxDistance: number): Int32Array {
  const bucketOf = bucketing(buckets, maxDistance);
  return Int32Array.from({ length: length * length }, (_, i) =>
    bucketOf((i % length) - Math.floor(i / length)),
  );
}

/** Returns a function from the distance of a key from a query to its bucket. */
export function bucketing(buckets: number, maxDistance: number): (distance: number) => number {
  const half = buckets / 2;
  const exact = half / 2;
  return (distance) => {
    const size = Math.abs(distance);
    const far = exact + Math.floor((Math.log(size / exact) / Math.log(maxDistance / exact)) * (half - exact));
    return (distance > 0 ? half : 0) + (size < exact ? size : Math.min(far, half - 1));
  };
}
