import { InputError } from '../core/errors.js';

/** How the next token is drawn. */
export interface Sampling {
  /** Divides the logits; 0 takes the most probable token. */
  readonly temperature: number;
  /** Draw from the so many most probable tokens; undefined for all. */
  readonly topK?: number | undefined;
  /** Draw from the most probable tokens that together have this probability; undefined for all. */
  readonly topP?: number | undefined;
}

/** @throws {InputError} naming what is out of range. */
export function checkSampling({ temperature, topK = 1, topP = 1 }: Sampling): void {
  if (!(temperature >= 0 && Number.isFinite(temperature)))
    throw new InputError(`expected a temperature of 0 or more, found ${temperature}`);
  if (!(Number.isInteger(topK) && topK >= 1))
    throw new InputError(`expected top-k to be a positive integer, found ${topK}`);
  if (!(topP > 0 && topP <= 1))
    throw new InputError(`expected top-p to be above 0 and at most 1, found ${topP}`);
}

/** Draws a token from logits [vocabulary]; `random` gives numbers in [0, 1). */
export function sample(logits: Float32Array, sampling: Sampling, random: () => number): number {
  const { temperature, topK = logits.length, topP = 1 } = sampling;
  if (temperature === 0) return mostProbable(logits);
  const candidates = Array.from(logits, (logit, token) => ({ token, logit }));
  // Equal logits in the order of their tokens: the same seed gives the same text everywhere.
  candidates.sort((a, b) => b.logit - a.logit || a.token - b.token);
  candidates.length = Math.min(candidates.length, topK);
  const weights = candidates.map(({ logit }) => Math.exp((logit - candidates[0]!.logit) / temperature));
  const nucleus = topP * weights.reduce((sum, weight) => sum + weight, 0);
  let kept = 0;
  let mass = 0;
  while (kept < weights.length && (mass < nucleus || kept === 0)) mass += weights[kept++]!;
  let left = random() * mass;
  for (let i = 0; i < kept; i++) {
    left -= weights[i]!;
    if (left < 0) return candidates[i]!.token;
  }
  return candidates[kept - 1]!.token;
}

function mostProbable(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}
