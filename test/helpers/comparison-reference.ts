// The statistics of llama.cpp's perplexity tool, written down from its formulas: sums, sums of squares and of products over tokens.
// Slow and obvious; it shares nothing with what it checks.
import { logProbabilities } from './gpt-neo-reference.js';

/** What a comparison knows of one token. */
export interface TokenScores {
  readonly nll: number;
  readonly referenceNll: number;
  readonly kl: number;
  readonly agrees: number;
}

/** Scores one token from both models' logits. */
export function scoreToken(reference: Float32Array, model: Float32Array, target: number): TokenScores {
  const [p, q] = [reference, model].map((logits) => logProbabilities(Float64Array.from(logits)));
  const largest = (values: Float64Array) => values.indexOf(values.reduce((a, b) => Math.max(a, b)));
  return {
    nll: -q![target]!,
    referenceNll: -p![target]!,
    kl: p!.reduce((total, logP, token) => total + Math.exp(logP) * (logP - q![token]!), 0),
    agrees: Number(largest(p!) === largest(q!)),
  };
}

/** Returns every number as [value, error over tokens], or a value alone. */
export function comparisonOf(tokens: readonly TokenScores[]) {
  const count = tokens.length;
  const sum = (value: (token: TokenScores) => number) => tokens.reduce((all, token) => all + value(token), 0);
  const withError = (value: (token: TokenScores) => number): [number, number] => {
    const mean = sum(value) / count;
    return [mean, Math.sqrt((sum((token) => value(token) ** 2) / count - mean ** 2) / (count - 1))];
  };
  const [q, qError] = withError(({ nll }) => nll);
  const [base, baseError] = withError(({ referenceNll }) => referenceNll);
  const product = sum(({ nll, referenceNll }) => nll * referenceNll);
  const covariance = (product / count - q * base) / (count - 1);
  const ratioError = Math.sqrt(qError ** 2 + baseError ** 2 - 2 * covariance);
  const [pplQ, pplBase] = [Math.exp(q), Math.exp(base)];
  const [errorQ, errorBase] = [pplQ * qError, pplBase * baseError];
  const change = ({ nll, referenceNll }: TokenScores) => Math.exp(-nll) - Math.exp(-referenceNll);
  const [square, squareError] = withError((token) => change(token) ** 2);
  const [top] = withError(({ agrees }) => agrees);
  return {
    perplexity: [pplQ, errorQ],
    referencePerplexity: [pplBase, errorBase],
    logPerplexityCorrelation: covariance / (qError * baseError),
    logPerplexityRatioNats: [q - base, ratioError],
    perplexityRatio: [Math.exp(q - base), Math.exp(q - base) * ratioError],
    perplexityDifference: [
      pplQ - pplBase,
      Math.sqrt(errorQ ** 2 + errorBase ** 2 - 2 * pplQ * pplBase * covariance),
    ],
    klNats: withError(({ kl }) => kl),
    klQuantiles: quantiles(tokens.map(({ kl }) => kl)),
    probabilityChange: withError(change),
    changeQuantiles: quantiles(tokens.map(change)),
    rootMeanSquare: [Math.sqrt(square), (0.5 / Math.sqrt(square)) * squareError],
    sameTopToken: [top, Math.sqrt((top * (1 - top)) / (count - 1))],
  };
}

/** Maximum, 99.9 %, 99 %, 95 %, 90 %, 75 %, 50 %, 25 %, 10 %, 5 %, 1 %, 0.1 % and minimum. */
function quantiles(values: readonly number[]): number[] {
  const sorted = values.toSorted((a, b) => a - b);
  return [100, 99.9, 99, 95, 90, 75, 50, 25, 10, 5, 1, 0.1, 0].map((percent) => {
    const position = (percent / 100) * (sorted.length - 1);
    const [before, rest] = [Math.trunc(position), position % 1];
    return (1 - rest) * sorted[before]! + rest * (sorted[before + 1] ?? 0);
  });
}
