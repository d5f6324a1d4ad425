import { plainLine } from '../core/plain-text.js';
import type { EmbeddingComparison, SentenceMeasure } from '../evaluation/embedding/compare.js';
import { count, table } from './format.js';

/** Returns what was compared, one fact per line. */
export function embeddingFacts({
  model,
  against,
  sentences,
  tokens,
  dimensions,
  meanByDefault,
}: EmbeddingComparison): string {
  const rows = [
    ['model', model],
    ['against', against],
    ['text', `${count(sentences)} sentences, ${count(tokens)} tokens`],
    [
      'embeddings',
      `${count(dimensions)} features${meanByDefault ? ', the mean of all tokens: the model has no modules.json' : ''}`,
    ],
  ];
  return rows.map(([what, value]) => `${what!.padEnd(14)} ${plainLine(value!)}`).join('\n');
}

/** Returns the measures with their errors and spread over sentences. At most 80 columns wide. */
export function embeddingTable({ cosine, rank }: EmbeddingComparison): string {
  return table(
    ['over sentences', 'mean', '±', 'median', '1 %', 'minimum'],
    [row('cosine', cosine), row("rank agreement (Spearman's)", rank)],
  );
}

function row(what: string, { mean, standardError, median, p1, min }: SentenceMeasure): string[] {
  const error = standardError === null ? 'unknown' : standardError.toPrecision(2);
  return [what, mean.toFixed(6), error, ...[median, p1, min].map((value) => value.toFixed(5))];
}
