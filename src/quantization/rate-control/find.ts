import { InputError } from '../../core/errors.js';
import type { Evaluation } from '../../evaluation/evaluate.js';
import type { ModelQuantizer } from '../model-quantizer.js';
import type { Goal } from './budget.js';
import { predictBits, predictStep } from './predict.js';
import type { SampledRateModel } from './sampled-rate-model.js';
import { searchStep, type Trial } from './search.js';

/** Bounds of the step: from where indices reach their limit to where hardly a weight is left. */
const STEP_BOUNDS = [1e-9, 1e3] as const;

/** What a search can do with a step. */
export interface Steps {
  /** Quantizes with a step and writes the candidate. @returns its bytes. */
  write(step: number): Promise<number>;
  /** Tunes what is not quantized, and writes the candidate again; undefined for models that are not tuned. */
  readonly tune: (() => Promise<number>) | undefined;
  /** Writes the candidate as it was before it was tuned. */
  untune(): Promise<unknown>;
  /** Of models whose passes are dear: tries steps on a sample first. */
  readonly scout: SampledRateModel | undefined;
  /** Writes a candidate that loses nothing. */
  whole(): Promise<unknown>;
  /** Measures the candidate. */
  measure(): Promise<Evaluation | undefined>;
}

/** What a search ended with: the last candidate written is the file. */
export interface Found {
  readonly quality: Evaluation | undefined;
  /** Says that the budget allows more than the file takes; undefined when it is used up. */
  readonly note: string | undefined;
}

/** The divergence that first steps are aimed at when a size is asked for: about three bits a weight. */
const TYPICAL_KL = 0.006;
/**
 * Writes candidates until one meets the goal, or is the best within it: budgets are upper limits.
 * @throws {InputError} when every candidate is beyond it, naming the nearest.
 */
export async function search(goal: Goal, passes: ModelQuantizer, steps: Steps): Promise<Found> {
  // docs/trellis.md: the divergence is about weights * step^2 / 24
  const kl = goal.kind === 'kl' ? goal.most : TYPICAL_KL;
  const first = Math.sqrt((24 * kl) / Math.max(1, passes.weights));
  return goal.kind === 'kl' ? searchDivergence(goal, steps, first) : searchBytes(goal, passes, steps, first);
}

async function searchBytes(goal: Goal, passes: ModelQuantizer, steps: Steps, first: number): Promise<Found> {
  const { write, tune, untune, measure, scout } = steps;
  const predict = (trials: readonly Trial[], target: number) => {
    const { step, value } = trials.at(-1)!; // the counts are its
    const bits = predictBits(passes.counts, 0);
    const wanted = bits + 8 * (target - value);
    return scout?.scaled(step, wanted / bits) ?? predictStep(passes.counts, step, wanted);
  };
  const target = (8 * Math.sqrt(goal.least * goal.most)) / passes.weights;
  const begin = (await scout?.find(target, first)) ?? first;
  const { met, nearest } = await searchStep(write, { ...goal, grows: false }, begin, STEP_BOUNDS, predict);
  if (!met && nearest!.value > goal.most) throw cannotMeet(goal, nearest!);
  if (tune && (await tune()) > goal.most) await untune(); // bf16 of other values may take some bytes more
  return { quality: await measure(), note: met ? undefined : withinNote(goal, nearest!) };
}

/** How often the gain of tuning is guessed again before a file is left untuned. */
const MAX_GUESSES = 3;

/** Tuning comes last, so the search is for a divergence that it will bring down to the goal. */
async function searchDivergence(
  goal: Goal,
  { write, tune, measure, whole }: Steps,
  first: number,
): Promise<Found> {
  let quality: Evaluation | undefined;
  const divergence = async () => {
    quality = await measure();
    if (!quality?.kl) throw new InputError('--kl needs a text to measure the divergence on');
    return quality.kl.mean;
  };
  const value = async (step: number) => {
    await write(step);
    return divergence();
  };
  const predict = ([first, ...more]: readonly Trial[], target: number) =>
    more.length ? undefined : first!.step * Math.sqrt(target / first!.value);
  const find = async (gain: number, from: number) => {
    const aim = { least: goal.least * gain, most: goal.most * gain, grows: true };
    const { met, nearest } = await searchStep(value, aim, from, STEP_BOUNDS, predict);
    return { met, ...nearest! };
  };
  let gain = 1.03;
  let step = first;
  for (let guess = 0; tune && guess < MAX_GUESSES; guess++) {
    const untuned = await find(gain, step);
    if (!untuned.met) break;
    step = untuned.step;
    await tune();
    const tuned = await divergence();
    if (tuned <= goal.most && tuned >= goal.least) return { quality, note: undefined };
    gain = Math.max(1, untuned.value / tuned);
  }
  const found = await find(1, step);
  if (found.met) return { quality, note: undefined };
  if (found.value <= goal.most) return { quality, note: withinNote(goal, found) };
  await whole();
  await divergence();
  return { quality, note: `no lossy file has so small a divergence; ${LOST_NOTHING}` };
}

/** Said of a file that loses nothing although something was allowed. */
export const LOST_NOTHING = 'the file is lossless';

/** What is said where a budget is not used up. */
export function withinNote({ kind, most }: Goal, { value }: Trial): string {
  return kind === 'kl'
    ? `the budget allows ${most} nats per token; the smallest file within it that was found has ${value.toPrecision(4)}`
    : `the budget allows ${most} bytes; the best file within it that was found has ${value}`;
}

export function cannotMeet({ kind, most, originalBytes }: Goal, { value }: Trial): InputError {
  const nearest =
    kind === 'kl'
      ? `${value.toPrecision(4)} nats`
      : `${value} bytes, a ratio of ${(originalBytes / value).toPrecision(4)}`;
  return new InputError(
    `the budget of ${most} ${kind === 'kl' ? 'nats' : 'bytes'} cannot be met; the nearest that can is ${nearest}`,
  );
}
