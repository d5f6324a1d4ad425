import type { Head } from '../../architectures/settings.js';

/**
 * Samples a label from each row's distribution and overwrites the logits with d(-log p(label)) / d(logits) = p - onehot(label).
 * @param logits [rows, vocabulary], overwritten. @param rowWeights [vocabulary]; p (1 - p) of every row is added to it, times the square
 * of the logit's derivative by the product with the output matrix. @param head what is between them.
 */
export function sampleGradients(
  logits: Float32Array,
  vocabulary: number,
  random: () => number,
  rowWeights: Float64Array,
  { scale = 1, softcap = Number.POSITIVE_INFINITY }: Pick<Head, 'scale' | 'softcap'> = {},
): Float32Array {
  const slopes = new Float64Array(vocabulary);
  for (let start = 0; start < logits.length; start += vocabulary) {
    const row = logits.subarray(start, start + vocabulary);
    let largest = Number.NEGATIVE_INFINITY;
    for (const logit of row) if (logit > largest) largest = logit;
    let sum = 0;
    for (let i = 0; i < vocabulary; i++) {
      slopes[i] = scale * (1 - (row[i]! / softcap) ** 2);
      const share = Math.exp(row[i]! - largest);
      row[i] = share;
      sum += share;
    }
    let left = random();
    let label = vocabulary - 1;
    let drawn = false;
    for (let i = 0; i < vocabulary; i++) {
      const p = row[i]! / sum;
      row[i] = p;
      rowWeights[i]! += p * (1 - p) * slopes[i]! ** 2;
      left -= p;
      if (!drawn && left < 0) {
        label = i;
        drawn = true;
      }
    }
    row[label]! -= 1;
  }
  return logits;
}
