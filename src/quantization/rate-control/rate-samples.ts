import { predictBits, predictStep } from './rate-model.js';
import type { Predict, Trial } from './step-search.js';

/** A step tried on a sample of a model's matrices. A pass over a large model takes minutes, a sample seconds. */
export interface RateSample {
  readonly step: number;
  /** Bits of the indices, and their number. */
  readonly bits: number;
  readonly weights: number;
  /** Counts of the indices; see {@link predictBits}. */
  readonly counts: Float64Array;
}

/** A step tried on the whole model. */
export interface SizeTrial extends Trial {
  /** Bytes of the file. */
  readonly value: number;
  readonly counts: Float64Array;
}

const MAX_SAMPLES = 4;
/** Relative distance from the target at which sampling ends. */
const TOLERANCE = 0.005;

/**
 * Returns the next step, and whether it is final: then it is used for the whole model instead of a sample.
 * @param samples in order. @param target bits per weight.
 */
export function nextSample(samples: readonly RateSample[], target: number, first: number) {
  const last = samples.at(-1);
  if (!last) return { step: first, isFinal: false };
  const { step, bits, weights, counts } = last;
  if (Math.abs(bits / weights / target - 1) < TOLERANCE) return { step, isFinal: true };
  // predictions from counts are off by several percent, because damping depends on the step
  const next =
    samples.length > 1
      ? Math.exp(Math.log(step) + (Math.log(target) - Math.log(bits / weights)) / slopeOf(samples))
      : predictStep(counts, step, target * weights);
  return { step: next, isFinal: samples.length === MAX_SAMPLES };
}

/** Returns a predictor of the step for a size: it uses samples if there are enough, otherwise the counts of the last trial. */
export function sizePredictor(samples: readonly RateSample[]): Predict<SizeTrial> {
  return (trials, targetBytes) => {
    const { step, value, counts } = trials.at(-1)!;
    const bits = predictBits(counts, 0);
    const wanted = bits + 8 * (targetBytes - value);
    return scaledStep(samples, step, wanted / bits) ?? predictStep(counts, step, wanted);
  };
}

/** Returns the step at which bits per weight are `share` times those at `step`; undefined if there are too few samples. */
function scaledStep(samples: readonly RateSample[], step: number, share: number): number | undefined {
  return samples.length < 2 || share <= 0 ? undefined : step * share ** (1 / slopeOf(samples));
}

/** Computes the slope of log bits over log step between the last two samples. */
function slopeOf(samples: readonly RateSample[]): number {
  const [a, b] = samples.slice(-2) as [RateSample, RateSample];
  const rise = Math.log(b.bits / b.weights) - Math.log(a.bits / a.weights);
  return rise / (Math.log(b.step) - Math.log(a.step));
}
