/** A model's prediction at one position. */
export interface Prediction {
  /** -log p(target), in nats. */
  readonly nll: number;
  /** The most probable token; the first of equal ones. */
  readonly best: number;
}

/**
 * Scores the logits of one position, `logits[start..start + vocabulary]`, against the target token. Sums are float64.
 */
export function predict(
  logits: Float32Array,
  start: number,
  vocabulary: number,
  target: number,
): Prediction & { readonly logNormalizer: number } {
  const best = indexOfLargest(logits, start, vocabulary);
  const largest = logits[start + best]!;
  let sum = 0;
  for (let i = start; i < start + vocabulary; i++) sum += Math.exp(logits[i]! - largest);
  const logNormalizer = largest + Math.log(sum);
  return { best, logNormalizer, nll: logNormalizer - logits[start + target]! };
}

/**
 * Returns KL(reference || other) in nats of two models' distributions at one position: sum p (a - b) - log Z_a + log Z_b. Exactly 0 for
 * equal logits.
 */
export function divergence(
  reference: Float32Array,
  other: Float32Array,
  start: number,
  vocabulary: number,
  logNormalizers: { readonly reference: number; readonly other: number },
): number {
  let sum = 0;
  for (let i = start; i < start + vocabulary; i++)
    sum += Math.exp(reference[i]! - logNormalizers.reference) * (reference[i]! - other[i]!);
  // rounding can give about -1e-16, but the divergence is never negative
  return Math.max(0, sum - logNormalizers.reference + logNormalizers.other);
}

function indexOfLargest(logits: Float32Array, start: number, vocabulary: number): number {
  let best = start;
  for (let i = start + 1; i < start + vocabulary; i++) if (logits[i]! > logits[best]!) best = i;
  return best - start;
}
