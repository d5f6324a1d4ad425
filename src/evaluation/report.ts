import type { Evaluation } from './evaluate.js';

/** Returns the measurements that are stored in a .wpk file: the summary, without paths and details. */
export function measurementsOf(evaluation: Omit<Evaluation, 'details'>) {
  const { kind, windows, window, tokens, perplexity, standardError, nll } = evaluation;
  const { reference, nllDifference, kl, top1 } = evaluation;
  const comparison = reference && { reference, nllDifference, kl, top1 };
  return { kind, windows, window, tokens, perplexity, standardError, nll, ...comparison };
}
