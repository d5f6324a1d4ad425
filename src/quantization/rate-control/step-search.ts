/** What a search aims at: a value in [min, max] that moves one way as the step grows. */
export interface Aim {
  readonly min: number;
  readonly max: number;
  /** Whether the value grows with the step, as a divergence does, or falls, as a size does. */
  readonly increasing: boolean;
}

/** A step that was tried. */
export interface Trial {
  readonly step: number;
  readonly value: number;
}

/** Returns a guess at the step that has a value, from the trials so far; undefined for none. */
export type Predict<T extends Trial = Trial> = (trials: readonly T[], target: number) => number | undefined;

export interface SearchOptions<T extends Trial = Trial> {
  readonly first: number;
  /** The smallest and the largest step that make sense. */
  readonly bounds: readonly [min: number, max: number];
  /** What knows better than a secant, or not. */
  readonly predict?: Predict<T> | undefined;
}

/** How a search ends: with a trial in the aim, or with the nearest one. */
export interface Outcome<T extends Trial = Trial> {
  readonly met: boolean;
  /** The last trial, but where every value is above the aim: then the one with the smallest. */
  readonly trial: T;
}

/** What comes next: a step to try, or the outcome. A repeat is a step that was tried before, after the search has failed. */
export type Decision<T extends Trial = Trial> =
  | { readonly step: number; readonly isRepeat: boolean }
  | Outcome<T>;

/** Trials before a search gives up: a secant in logarithms needs four to eight. */
const MAX_TRIALS = 20;
/** Predictions that have missed so often are no better than secants. */
const MAX_PREDICTIONS = 8;
/** The step moves by no more than this factor beyond what was tried. */
const MAX_MOVE = 4;
/** Steps farther apart than this give other files, unless nothing is left to change. */
const FLAT_RANGE = 1.5;
/** Steps nearer than this give the same file. */
const MIN_BRACKET = 1e-5;
/** Repeats after the first, each a small factor to the safe side of the one before. */
const MAX_REPEATS = 10;
const REPEAT_FACTOR = 1.02;

/**
 * Runs a search: tries one step after another until {@link decide} gives the outcome.
 * @param attempt tries a step; its last call is the trial of the outcome, but where every value is above the aim.
 */
export async function searchStep<T extends Trial>(
  attempt: (step: number) => Promise<T>,
  aim: Aim,
  options: SearchOptions<T>,
): Promise<Outcome<T>> {
  const trials: T[] = [];
  const repeats: T[] = [];
  for (;;) {
    const decision = decide(trials, repeats, aim, options);
    if ('met' in decision) return decision;
    (decision.isRepeat ? repeats : trials).push(await attempt(decision.step));
  }
}

/**
 * Decides what a search does next. It follows secants of log value over log step inside of the bracket, and bisects where they stall.
 * Where no step meets the aim, the largest value below it is tried again: what quantization passes have learned since moves its value,
 * which must not exceed the limit for that.
 * @param trials in the order they were tried. @param repeats trials of earlier steps, after the search has failed.
 */
export function decide<T extends Trial>(
  trials: readonly T[],
  repeats: readonly T[],
  aim: Aim,
  options: SearchOptions<T>,
): Decision<T> {
  const [last, repeated] = [trials.at(-1), repeats.at(-1)];
  if (!last) return { step: clamp(options.first, options.bounds), isRepeat: false };
  if (repeated) return decideRepeat(repeated, repeats.length, aim);
  if (isWithin(last, aim)) return { met: true, trial: last };
  const isFinished =
    trials.length === MAX_TRIALS || (aim.increasing && last.value <= aim.max && isFlat(trials));
  const step = isFinished ? undefined : nextStep(trials, aim, options);
  if (step !== undefined) return { step, isRepeat: false };
  const allowed = trials.filter(({ value }) => value <= aim.max);
  if (!allowed.length) return { met: false, trial: trials.reduce((a, b) => (b.value < a.value ? b : a)) };
  const nearest = allowed.reduce((best, trial) => (best.value >= trial.value ? best : trial));
  return nearest === last ? { met: false, trial: last } : { step: nearest.step, isRepeat: true };
}

function decideRepeat<T extends Trial>(last: T, count: number, aim: Aim): Decision<T> {
  if (last.value <= aim.max || count > MAX_REPEATS) return { met: isWithin(last, aim), trial: last };
  return { step: aim.increasing ? last.step / REPEAT_FACTOR : last.step * REPEAT_FACTOR, isRepeat: true };
}

/** The next step to try; undefined at a bound. */
function nextStep<T extends Trial>(
  trials: readonly T[],
  { min, max, increasing }: Aim,
  { bounds, predict }: SearchOptions<T>,
): number | undefined {
  const target = Math.sqrt(min * max);
  // Without regard to the bracket: what a step gives moves a little with what the passes before have taught.
  const predicted = trials.length <= MAX_PREDICTIONS ? predict?.(trials, target) : undefined;
  if (predicted !== undefined) {
    const step = clamp(predicted, bounds);
    return step === trials.at(-1)!.step ? undefined : step;
  }
  const isAbove = ({ value }: Trial) => value > target;
  const small = trials.filter((trial) => isAbove(trial) !== increasing).map(({ step }) => step);
  const large = trials.filter((trial) => isAbove(trial) === increasing).map(({ step }) => step);
  const from = small.length ? Math.max(...small) : undefined;
  const to = large.length ? Math.min(...large) : undefined;
  const low = from ?? Math.max(bounds[0], to! / MAX_MOVE);
  const high = to ?? Math.min(bounds[1], from! * MAX_MOVE);
  if (high / low < 1 + MIN_BRACKET) return undefined;
  const guess = secant(trials, target);
  const isBracketed = from !== undefined && to !== undefined;
  if (guess !== undefined && guess > low && guess < high && !(isBracketed && isStalled(trials))) return guess;
  if (isBracketed) return Math.sqrt(low * high);
  return from === undefined ? low : high; // nothing to interpolate, or the bound itself is asked for
}

const clamp = (step: number, [min, max]: readonly [number, number]) => Math.min(Math.max(step, min), max);

const isWithin = ({ value }: Trial, { min, max }: Aim) => value >= min && value <= max;

/** True when steps far apart gave the same: nothing changes any more, as where every weight is zero. */
function isFlat(trials: readonly Trial[]): boolean {
  const [a, b] = trials.slice(-2);
  return !!a && !!b && a.value === b.value && Math.max(a.step / b.step, b.step / a.step) > FLAT_RANGE;
}

/** Where the line through the two trials nearest to the target, in logarithms, meets it. */
function secant(trials: readonly Trial[], target: number): number | undefined {
  const positive = trials.filter(({ value }) => value > 0 && value < Number.POSITIVE_INFINITY);
  const distance = ({ value }: Trial) => Math.abs(Math.log(value / target));
  const [a, b] = [...positive].sort((x, y) => distance(x) - distance(y));
  if (!a || !b || a.value === b.value || a.step === b.step) return undefined;
  const slope = Math.log(b.value / a.value) / Math.log(b.step / a.step);
  return a.step * Math.exp(Math.log(target / a.value) / slope);
}

/** True when the last three trials lie on one side, near each other: the other end of the bracket does not move. */
function isStalled(trials: readonly Trial[]): boolean {
  const last = trials.slice(-3).map(({ step }) => step);
  return last.length === 3 && Math.max(...last) / Math.min(...last) < 1.001;
}
