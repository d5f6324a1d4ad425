import { lossOf, type Quality } from '../evaluation/report.js';
import type { Pipeline } from './pipeline.js';
import type { CompressionPlan } from './plan.js';
import type { Goal } from './rate-control/budget.js';
import { cannotMeet, LOST_NOTHING, withinNote } from './rate-control/messages.js';
import { nextSample, type RateSample, type SizeTrial, sizePredictor } from './rate-control/rate-samples.js';
import { searchStep, type Trial } from './rate-control/step-search.js';

/** Bounds of the step: below, indices would exceed their limit; above, nearly all weights are zero. */
export const STEP_BOUNDS = [1e-9, 1e3] as const;

/** The operations of {@link Pipeline} that a search uses. The last candidate that it writes becomes the file. */
export interface Candidates
  extends Pick<Pipeline, 'canTune' | 'size' | 'sample' | 'measure' | 'tune' | 'untune' | 'writeLossless'> {
  write(step: number): Promise<Omit<SizeTrial, 'value'>>;
}

/** Result of a search. */
export interface SearchResult {
  readonly quality: Quality | undefined;
  /** Returns the message for a file below its budget, given its bytes; undefined if the budget is used up. */
  readonly note?: ((bytes: number) => string) | undefined;
}

/**
 * Writes candidates until one meets the goal, or is the best below its limit: budgets are upper limits.
 * @throws {InputError} when every candidate exceeds the limit, naming the nearest one.
 */
export function searchCandidate(plan: CompressionPlan, candidates: Candidates): Promise<SearchResult> {
  return plan.goal.kind === 'bytes' ? searchSize(plan, candidates) : searchDivergence(plan, candidates);
}

async function searchSize(plan: CompressionPlan, candidates: Candidates): Promise<SearchResult> {
  const { goal } = plan;
  const { samples, step: first } = plan.samplesRate
    ? await sampleRate(plan, candidates)
    : { samples: [], step: plan.firstStep };
  const { met, trial } = await searchStep(
    async (step) => ({ ...(await candidates.write(step)), value: await candidates.size() }),
    { ...goal, increasing: false },
    { first, bounds: STEP_BOUNDS, predict: sizePredictor(samples) },
  );
  if (trial.value > goal.max) throw cannotMeet(goal, trial.value);
  if (candidates.canTune) {
    await candidates.tune();
    // tuned values may take a few bytes more
    if ((await candidates.size()) > goal.max) await candidates.untune();
  }
  const note = met ? undefined : (bytes: number) => withinNote(goal, bytes);
  return { quality: await candidates.measure(), note };
}

/** Samples a model until the step gives about the bits per weight that the size allows. */
async function sampleRate({ goal, quantizedWeights, firstStep }: CompressionPlan, candidates: Candidates) {
  const target = (8 * Math.sqrt(goal.min * goal.max)) / quantizedWeights;
  const samples: RateSample[] = [];
  for (;;) {
    const { step, isFinal } = nextSample(samples, target, firstStep);
    if (isFinal) return { samples, step };
    samples.push(await candidates.sample(step));
  }
}

/** Maximum number of guesses of tuning's gain before the file is left untuned. */
const MAX_GUESSES = 3;
const FIRST_GAIN = 1.03;

interface MeasuredTrial extends Trial {
  readonly quality: Quality;
}

async function searchDivergence(plan: CompressionPlan, candidates: Candidates): Promise<SearchResult> {
  const { goal } = plan;
  let first = plan.firstStep;
  // Tuning comes last and divides the divergence by `gain`, so the search aims that much above the goal.
  let gain = FIRST_GAIN;
  for (let guess = 0; candidates.canTune && guess < MAX_GUESSES; guess++) {
    const untuned = await findDivergence(goal, gain, first, candidates);
    if (!untuned.met) break;
    first = untuned.trial.step;
    await candidates.tune();
    const { value, quality } = await measured(candidates, first);
    if (value <= goal.max && value >= goal.min) return { quality };
    gain = Math.max(1, untuned.trial.value / value);
  }
  const { met, trial } = await findDivergence(goal, 1, first, candidates);
  if (met) return { quality: trial.quality };
  if (trial.value <= goal.max) return { quality: trial.quality, note: () => withinNote(goal, trial.value) };
  await candidates.writeLossless();
  const { quality } = await measured(candidates, 0);
  return { quality, note: () => `no lossy file reaches so small a loss; ${LOST_NOTHING}` };
}

/** Finds the step with `gain` times the divergence of the goal. */
function findDivergence(goal: Goal, gain: number, first: number, candidates: Candidates) {
  const attempt = async (step: number) => {
    await candidates.write(step);
    return measured(candidates, step);
  };
  const aim = { min: goal.min * gain, max: goal.max * gain, increasing: true };
  // the divergence grows with the square of the step; from the second trial on a secant is better
  const predict = (trials: readonly Trial[], target: number) =>
    trials.length === 1 ? trials[0]!.step * Math.sqrt(target / trials[0]!.value) : undefined;
  return searchStep(attempt, aim, { first, bounds: STEP_BOUNDS, predict });
}

async function measured(candidates: Candidates, step: number): Promise<MeasuredTrial> {
  const quality = (await candidates.measure())!; // a plan for a divergence has a text
  return { step, value: lossOf(quality), quality };
}
