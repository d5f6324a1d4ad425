import type { Scores } from './score.js';
import { correlation, errorOfMean, estimate, quantile } from './statistics.js';

/** A measured value with its error, computed in two ways. */
export interface Measured {
  /** The value over all tokens. */
  readonly value: number;
  /** Standard error over windows, which are nearly independent; null for a single window. */
  readonly standardError: number | null;
  /** Standard error as if all tokens were independent, like that of llama.cpp's perplexity tool; null for a single token. */
  readonly tokenStandardError: number | null;
}

/** A percentile. */
export interface Percentile {
  /** So many per cent of the tokens have less: 99.9, 99, 95, 90, 75, 50, 25, 10, 5, 1 or 0.1. */
  readonly percent: number;
  /** The value. */
  readonly value: number;
}

/** How a value is distributed over tokens. */
export interface Distribution {
  /** Mean over tokens. */
  readonly mean: Measured;
  /** Maximum over tokens. */
  readonly maximum: number;
  /** From 99.9 % down to 0.1 %, with linear interpolation. */
  readonly percentiles: readonly Percentile[];
  /** Minimum over tokens. */
  readonly minimum: number;
}

/** How the probability of the right token changes from the reference to the model, -1 to 1. */
export interface ProbabilityChange extends Distribution {
  /** Square root of the mean square. */
  readonly rootMeanSquare: Measured;
}

/** How predictions differ from a reference's, with the definitions of llama.cpp's perplexity tool. */
export interface ComparisonDetails {
  /** Perplexity of the reference. */
  readonly referencePerplexity: Measured;
  /** Perplexity of the model over that of the reference. */
  readonly perplexityRatio: Measured;
  /** Natural logarithm of the ratio. */
  readonly logPerplexityRatioNats: Measured;
  /** Perplexity of the model minus that of the reference. */
  readonly perplexityDifference: Measured;
  /** Correlation over tokens of both negative log-likelihoods, -1 to 1; null where one does not vary. */
  readonly logPerplexityCorrelation: number | null;
  /** KL(reference || model) per token, in nats. */
  readonly klNats: Distribution;
  /** Probability of the right token, model minus reference. */
  readonly probabilityChange: ProbabilityChange;
  /** Share of tokens, 0 to 1, at which both find the same token most probable. */
  readonly sameTopToken: Measured;
}

/** All statistics of an evaluation. */
export interface EvaluationDetails {
  /** exp(mean negative log-likelihood). */
  readonly perplexity: Measured;
  /** Negative log-likelihood per token, in nats. */
  readonly nllNats: Measured;
  /** The comparison; undefined without a reference. */
  readonly comparison?: ComparisonDetails;
}

const PERCENTS = [99.9, 99, 95, 90, 75, 50, 25, 10, 5, 1, 0.1] as const;

/** Computes all statistics of scores in windows of equal length. */
export function detailsOf({ nll, comparison }: Scores, windows: number): EvaluationDetails {
  const measure = (values: Float64Array) => measured(values, windows);
  const nllNats = measure(nll);
  const perplexity = exponential(nllNats);
  if (!comparison) return { perplexity, nllNats };
  const { referenceNll, kl, agrees } = comparison;
  const referencePerplexity = exponential(measure(referenceNll));
  const logPerplexityRatioNats = measure(nll.map((value, i) => value - referenceNll[i]!));
  // to first order, the difference of the perplexities changes as this mean does
  const linearized = measure(
    nll.map((value, i) => perplexity.value * value - referencePerplexity.value * referenceNll[i]!),
  );
  const changes = nll.map((value, i) => Math.exp(-value) - Math.exp(-referenceNll[i]!));
  return {
    perplexity,
    nllNats,
    comparison: {
      referencePerplexity,
      perplexityRatio: exponential(logPerplexityRatioNats),
      logPerplexityRatioNats,
      perplexityDifference: { ...linearized, value: perplexity.value - referencePerplexity.value },
      logPerplexityCorrelation: correlation(nll, referenceNll),
      klNats: distribution(kl, measure(kl)),
      probabilityChange: {
        ...distribution(changes, measure(changes)),
        rootMeanSquare: root(measure(changes.map((value) => value ** 2))),
      },
      sameTopToken: measure(agrees),
    },
  };
}

function measured(values: Float64Array, windows: number): Measured {
  const { mean, standardError } = estimate(values, windows);
  return { value: mean, standardError, tokenStandardError: errorOfMean(values) };
}

/** Returns a function's value of a measured one. To first order, an error grows by the slope. */
function transformed({ value, ...errors }: Measured, to: number, slope: number): Measured {
  const scaled = (error: number | null) => error && error * slope;
  return {
    value: to,
    standardError: scaled(errors.standardError),
    tokenStandardError: scaled(errors.tokenStandardError),
  };
}

function exponential(measure: Measured): Measured {
  const value = Math.exp(measure.value);
  return transformed(measure, value, value);
}

function root(measure: Measured): Measured {
  const value = Math.sqrt(measure.value);
  return transformed(measure, value, 0.5 / value);
}

function distribution(values: Float64Array, mean: Measured): Distribution {
  const sorted = values.slice().sort();
  return {
    mean,
    maximum: sorted.at(-1)!,
    percentiles: PERCENTS.map((percent) => ({ percent, value: quantile(sorted, percent / 100) })),
    minimum: sorted[0]!,
  };
}
