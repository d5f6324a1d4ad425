import { sumOf } from '../core/sum.js';
import type { Scores } from './score.js';

/** The measures over the windows scored so far. */
export interface RunningEstimate {
  /** Windows scored so far. */
  readonly windows: number;
  /** Windows of the text. */
  readonly totalWindows: number;
  /** Perplexity over these windows. */
  readonly perplexity: number;
  /** Perplexity of the reference; undefined without one. */
  readonly referencePerplexity?: number;
  /** Mean KL(reference || model) per token, in nats; undefined without a reference. */
  readonly klNats?: number;
}

/** Returns a function that estimates from the scores of the first `done` windows of equal length; `done` grows by 1 from 1 on. */
export function runningEstimates(totalWindows: number) {
  let [nll, referenceNll, kl] = [0, 0, 0];
  return (done: number, scores: Scores): RunningEstimate => {
    const length = scores.nll.length / totalWindows;
    const sum = (values: Float64Array) =>
      sumOf(values.subarray((done - 1) * length, done * length), (value) => value);
    const tokens = done * length;
    nll += sum(scores.nll);
    const estimate = { windows: done, totalWindows, perplexity: Math.exp(nll / tokens) };
    if (!scores.comparison) return estimate;
    referenceNll += sum(scores.comparison.referenceNll);
    kl += sum(scores.comparison.kl);
    return { ...estimate, referencePerplexity: Math.exp(referenceNll / tokens), klNats: kl / tokens };
  };
}
