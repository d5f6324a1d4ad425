import { plainLine } from '../core/plain-text.js';
import type { ComparisonDetails, Distribution, Measured } from '../evaluation/details.js';
import type { Evaluation } from '../evaluation/evaluate.js';
import { bytes, count, percent, table } from './format.js';

type Format = (value: number) => string;

/** Returns what was evaluated, one fact per line. */
export function facts(evaluation: Evaluation): string {
  const { model, against, againstSha256, kind, windows, window, tokens, savedLogits } = evaluation;
  const predicted = kind === 'causal' ? 'predicted' : 'predicted under masks';
  const stored = againstSha256 && `, stored logits of model ${againstSha256.slice(0, 12)}`;
  const rows = [
    ['model', model],
    ...(against === undefined ? [] : [['against', `${against}${stored ?? ''}`]]),
    ['text', `${count(windows)} windows of ${count(window)} tokens, ${count(tokens)} ${predicted}`],
    ...(savedLogits
      ? [['logits', `${savedLogits.path}, ${bytes(savedLogits.bytes)}: ${perToken(evaluation)} per token`]]
      : []),
  ];
  return rows.map(([what, value]) => `${what!.padEnd(14)} ${plainLine(value!)}`).join('\n');
}

const perToken = ({ savedLogits, tokens }: Evaluation) => bytes(Math.round(savedLogits!.bytes / tokens));

/** Returns all measures with their errors and, with a reference, the percentiles. At most 80 columns wide. */
export function resultTables({ details }: Evaluation): string {
  const { perplexity, nllNats, comparison } = details;
  const rows = [
    row('perplexity', perplexity, fixed(4)),
    row('negative log-likelihood, nats', nllNats, fixed(5)),
    ...(comparison ? comparisonRows(comparison) : []),
  ];
  const measures = table(['measure', 'value', '± over windows', '± over tokens'], rows);
  return comparison ? `${measures}\n\n${percentileTable(comparison)}` : measures;
}

function comparisonRows(comparison: ComparisonDetails): (string[] | null)[] {
  const { referencePerplexity, perplexityRatio, logPerplexityRatioNats, perplexityDifference } = comparison;
  const { logPerplexityCorrelation, klNats, probabilityChange, sameTopToken } = comparison;
  return [
    null,
    row('reference perplexity', referencePerplexity, fixed(4)),
    row('perplexity ratio', perplexityRatio, fixed(6)),
    row('ln of the ratio, nats', logPerplexityRatioNats, nats),
    row('perplexity difference', perplexityDifference, fixed(6)),
    ['correlation of ln perplexities', correlation(logPerplexityCorrelation), '', ''],
    null,
    row('KL divergence, nats: mean', klNats.mean, nats),
    row('change of probability: mean', probabilityChange.mean, points),
    row('root mean square', probabilityChange.rootMeanSquare, points),
    row('same most probable token', sameTopToken, percent),
  ];
}

function row(what: string, { value, standardError, tokenStandardError }: Measured, format: Format): string[] {
  const error = (of: number | null) => (of === null ? 'unknown' : format(of));
  return [what, format(value), error(standardError), error(tokenStandardError)];
}

function percentileTable({ klNats, probabilityChange }: ComparisonDetails): string {
  const [kl, change] = [spread(klNats), spread(probabilityChange)];
  return table(
    ['over tokens', 'KL divergence, nats', 'change of probability'],
    kl.map(([name, value], i) => [name, nats(value), points(change[i]![1])]),
  );
}

function spread({ maximum, percentiles, minimum }: Distribution): [name: string, value: number][] {
  return [
    ['maximum', maximum],
    ...percentiles.map(({ percent, value }): [string, number] => [
      percent === 50 ? 'median' : `${percent} %`,
      value,
    ]),
    ['minimum', minimum],
  ];
}

const correlation = (value: number | null) => (value === null ? 'none' : `${fixed(4)(100 * value)} %`);

/** Returns a formatter to so many decimals; what would be too wide gets an exponent. */
const fixed = (digits: number) => (value: number) =>
  Math.abs(value) < 1e6 ? value.toFixed(digits) : value.toExponential(digits);

/** Formats nats; divergences span many orders of magnitude. */
function nats(value: number): string {
  return value === 0 ? '0' : Math.abs(value) < 1e-3 ? value.toExponential(2) : value.toFixed(5);
}

/** Formats a difference of probabilities in per cent of certainty. */
function points(value: number): string {
  return `${(value * 100).toFixed(3).replace(/^-(0\.0+)$/, '$1')} %`;
}
