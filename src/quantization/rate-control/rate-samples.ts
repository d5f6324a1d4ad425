import { predictBits, predictStep } from './rate-model.js';
import type { Predict, Trial } from './step-search.js';

/** A step that was tried on some of a model's matrices. A pass over a large model takes minutes, a sample of it seconds. */
export interface RateSample {
  readonly step: number;
  /** What the indices take, and how many they are. */
  readonly bits: number;
  readonly weights: number;
  /** How often each index was chosen; see {@link predictBits}. */
  readonly counts: Float64Array;
}

/** A step that was tried on the whole model. */
export interface SizeTrial extends Trial {
  /** Bytes of the file. */
  readonly value: number;
  readonly counts: Float64Array;
}

const MAX_SAMPLES = 4;
/** A sample this near to the target is the last. */
const TOLERANCE = 0.005;

/**
 * Returns the step to sample next, and whether that is the step to use instead.
 * @param samples in the order they were made. @param target bits per weight.
 */
export function nextSample(samples: readonly RateSample[], target: number, first: number) {
  const last = samples.at(-1);
  if (!last) return { step: first, isFinal: false };
  const { step, bits, weights, counts } = last;
  if (Math.abs(bits / weights / target - 1) < TOLERANCE) return { step, isFinal: true };
  // counts at one step are several percent off at another, as damping moves with the step
  const next =
    samples.length > 1
      ? Math.exp(Math.log(step) + (Math.log(target) - Math.log(bits / weights)) / slopeOf(samples))
      : predictStep(counts, step, target * weights);
  return { step: next, isFinal: samples.length === MAX_SAMPLES };
}

/** Returns what predicts the step of a size: from samples of a model where there are enough, otherwise from the counts of the last trial. */
export function sizePredictor(samples: readonly RateSample[]): Predict<SizeTrial> {
  return (trials, targetBytes) => {
    const { step, value, counts } = trials.at(-1)!;
    const bits = predictBits(counts, 0);
    const wanted = bits + 8 * (targetBytes - value);
    return scaledStep(samples, step, wanted / bits) ?? predictStep(counts, step, wanted);
  };
}

/** Returns the step at which a weight takes `share` times the bits that it takes at `step`; undefined where too little is known. */
function scaledStep(samples: readonly RateSample[], step: number, share: number): number | undefined {
  return samples.length < 2 || share <= 0 ? undefined : step * share ** (1 / slopeOf(samples));
}

/** The slope of log bits over log step, along the line through the last two samples. */
function slopeOf(samples: readonly RateSample[]): number {
  const [a, b] = samples.slice(-2) as [RateSample, RateSample];
  const rise = Math.log(b.bits / b.weights) - Math.log(a.bits / a.weights);
  return rise / (Math.log(b.step) - Math.log(a.step));
}
