import { correlation } from '../statistics.js';

/** Returns the cosine of the angle between two vectors; 0 if one is zero. */
export function cosineOf(a: Float32Array, b: Float32Array): number {
  let [product, squareA, squareB] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    product += a[i]! * b[i]!;
    squareA += a[i]! * a[i]!;
    squareB += b[i]! * b[i]!;
  }
  const lengths = Math.sqrt(squareA) * Math.sqrt(squareB);
  return lengths > 0 ? Math.min(1, Math.max(-1, product / lengths)) : 0;
}

/**
 * Returns, for each vector, how alike two models order all others by their cosine with it: Spearman's rank correlation, -1 to 1.
 * It is 1 where one side does not vary, as with fewer than three vectors.
 */
export function rankAgreements(
  own: readonly Float32Array[],
  reference: readonly Float32Array[],
): Float64Array {
  const [ours, theirs] = [similarities(own), similarities(reference)];
  return Float64Array.from(own, (_, i) => {
    const rowOf = (all: Float64Array) =>
      Float64Array.from({ length: own.length - 1 }, (_, j) => all[i * own.length + j + Number(j >= i)]!);
    return own.length < 3 ? 1 : (correlation(ranksOf(rowOf(ours)), ranksOf(rowOf(theirs))) ?? 1);
  });
}

/** Computes the cosines of all pairs, [n, n]. */
function similarities(vectors: readonly Float32Array[]): Float64Array {
  const { length } = vectors;
  const found = new Float64Array(length * length);
  for (let i = 0; i < length; i++)
    for (let j = 0; j < i; j++) {
      const cosine = cosineOf(vectors[i]!, vectors[j]!);
      found[i * length + j] = cosine;
      found[j * length + i] = cosine;
    }
  return found;
}

/** Returns the rank of each value; equal values share the mean of their ranks. */
function ranksOf(values: Float64Array): Float64Array {
  const order = Array.from(values.keys()).sort((a, b) => values[a]! - values[b]!);
  const ranks = new Float64Array(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start + 1;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    for (let i = start; i < end; i++) ranks[order[i]!] = (start + end - 1) / 2;
    start = end;
  }
  return ranks;
}
