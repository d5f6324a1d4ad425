import type { EmbeddingComparison } from './embedding/compare.js';
import type { Evaluation } from './evaluate.js';

/** How well a compressed model stands for the original: predictions of tokens, or embeddings. */
export type Quality = Evaluation | EmbeddingComparison;

/** Returns the loss of a compressed model: KL divergence in nats per token, or what the cosine of embeddings lacks to 1. */
export function lossOf(quality: Quality): number {
  return quality.kind === 'embedding' ? 1 - quality.cosine.mean : quality.kl!.mean;
}

/** Returns the measurements that are stored in a .wpk file: the summary, without paths and details. */
export function measurementsOf(quality: Omit<Evaluation, 'details'> | EmbeddingComparison) {
  if (quality.kind === 'embedding') {
    const { kind, sentences, tokens, dimensions, cosine, rank } = quality;
    return { kind, sentences, tokens, dimensions, cosine, rank };
  }
  return predictionsOf(quality);
}

/** Returns the measurements of a model that predicts tokens. */
export function predictionsOf(evaluation: Omit<Evaluation, 'details'>) {
  const { kind, windows, window, tokens, perplexity, standardError, nll } = evaluation;
  const { reference, nllDifference, kl, top1 } = evaluation;
  const comparison = reference && { reference, nllDifference, kl, top1 };
  return { kind, windows, window, tokens, perplexity, standardError, nll, ...comparison };
}
