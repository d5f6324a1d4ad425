/**
 * Computes d(mean KL(p || q)) / d(logits of q) = (q - p) / tokens.
 * @param reference logits of p, [tokens, vocabulary]. @param logits of q, same shape; overwritten with the gradient.
 */
export function divergenceGradient(
  reference: Float32Array,
  logits: Float32Array,
  vocabulary: number,
): Float32Array {
  const tokens = logits.length / vocabulary;
  const [p, q] = [new Float64Array(vocabulary), new Float64Array(vocabulary)];
  for (let start = 0; start < logits.length; start += vocabulary) {
    softmax(reference.subarray(start, start + vocabulary), p);
    const row = logits.subarray(start, start + vocabulary);
    softmax(row, q);
    for (let i = 0; i < vocabulary; i++) row[i] = (q[i]! - p[i]!) / tokens;
  }
  return logits;
}

function softmax(logits: Float32Array, into: Float64Array): void {
  let largest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) if (logit > largest) largest = logit;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) {
    into[i] = Math.exp(logits[i]! - largest);
    sum += into[i]!;
  }
  for (let i = 0; i < logits.length; i++) into[i]! /= sum;
}
