import { InputError } from '../core/errors.js';
import { sumOf } from '../core/sum.js';

/** How the next token is sampled. */
export interface Sampling {
  /** Divides the logits; 0 means greedy decoding. */
  readonly temperature: number;
  /** Number of most probable tokens to sample from; undefined for all. */
  readonly topK?: number | undefined;
  /** Total probability of the most probable tokens to sample from; undefined for all. */
  readonly topP?: number | undefined;
}

/** Checks sampling settings. @throws {InputError} naming one that is out of range. */
export function checkSampling({ temperature, topK = 1, topP = 1 }: Sampling): void {
  if (!(temperature >= 0 && Number.isFinite(temperature)))
    throw new InputError(`expected a temperature of 0 or more, found ${temperature}`);
  if (!(Number.isInteger(topK) && topK >= 1))
    throw new InputError(`expected top-k to be a positive integer, found ${topK}`);
  if (!(topP > 0 && topP <= 1))
    throw new InputError(`expected top-p to be above 0 and at most 1, found ${topP}`);
}

/** Samples a token from logits [vocabulary]. @param random returns numbers in [0, 1). */
export function sample(logits: Float32Array, sampling: Sampling, random: () => number): number {
  const { temperature, topK = logits.length, topP = 1 } = sampling;
  if (temperature === 0) return mostProbable(logits);
  const candidates = Array.from(logits, (logit, token) => ({ token, logit }));
  // ties are broken by token id, so that a seed gives the same text everywhere
  candidates.sort((a, b) => b.logit - a.logit || a.token - b.token);
  candidates.length = Math.min(candidates.length, topK);
  const weights = candidates.map(({ logit }) => Math.exp((logit - candidates[0]!.logit) / temperature));
  const nucleus = topP * sumOf(weights, (weight) => weight);
  let count = 0;
  let mass = 0;
  while (count < weights.length && (mass < nucleus || count === 0)) mass += weights[count++]!;
  let remaining = random() * mass;
  for (let i = 0; i < count; i++) {
    remaining -= weights[i]!;
    if (remaining < 0) return candidates[i]!.token;
  }
  return candidates[count - 1]!.token;
}

function mostProbable(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}
