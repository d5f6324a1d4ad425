/** Target range of a search: a value in [min, max] that is monotonic in the step. */
export interface Aim {
  readonly min: number;
  readonly max: number;
  /** True if the value grows with the step, like a divergence; false if it falls, like a size. */
  readonly increasing: boolean;
}

/** A step with its measured value. */
export interface Trial {
  readonly step: number;
  readonly value: number;
}

/** Predicts the step for a value from the trials so far; undefined if it cannot. */
export type Predict<T extends Trial = Trial> = (trials: readonly T[], target: number) => number | undefined;

export interface SearchOptions<T extends Trial = Trial> {
  readonly first: number;
  /** Minimum and maximum step. */
  readonly bounds: readonly [min: number, max: number];
  /** A predictor to use in place of the first secants. */
  readonly predict?: Predict<T> | undefined;
}

/** Outcome of a search: a trial in the target range, or the nearest one. */
export interface Outcome<T extends Trial = Trial> {
  readonly met: boolean;
  /** The last trial; if every value is above the range, the trial with the smallest value. */
  readonly trial: T;
}

/** Next action of a search: a step to try, or the outcome. A repeat tries an earlier step again after the search has failed. */
export type Decision<T extends Trial = Trial> =
  | { readonly step: number; readonly isRepeat: boolean }
  | Outcome<T>;

/** Maximum number of trials: secants in logarithms need four to eight. */
const MAX_TRIALS = 20;
/** Maximum number of predictions; after that many misses they are no better than secants. */
const MAX_PREDICTIONS = 8;
/** Maximum factor by which a step leaves the range of steps already tried. */
const MAX_MOVE = 4;
/** Steps that differ by more than this factor give different files, unless all weights are already zero. */
const FLAT_RANGE = 1.5;
/** Share by which a file grows at most if a step that is smaller by {@link FLAT_RANGE} is of no use; usually it is 5 to 20 %. */
const FULL_GROWTH = 0.002;
/** Steps that differ by less than this give the same file. */
const MIN_BRACKET = 1e-5;
/** Maximum number of repeats after the first; each moves a little further to the safe side. */
const MAX_REPEATS = 10;
const REPEAT_FACTOR = 1.02;

/**
 * Runs a search: tries one step after another until {@link decide} gives the outcome.
 * @param attempt tries a step. Its last call is the outcome's trial, unless every value is above the target range.
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
 * Decides the next action of a search: secants of log value over log step inside the bracket, or bisection when they stall.
 * If no step meets the target range, the step with the largest value below it is tried again: prices learned since then may have
 * changed its value, which must still not exceed the limit.
 * @param trials in order. @param repeats trials of earlier steps, after the search has failed.
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
    trials.length === MAX_TRIALS || (last.value <= aim.max && (aim.increasing ? isFlat : isFull)(trials));
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

/** Returns the next step to try; undefined at a bound. */
function nextStep<T extends Trial>(
  trials: readonly T[],
  { min, max, increasing }: Aim,
  { bounds, predict }: SearchOptions<T>,
): number | undefined {
  const target = Math.sqrt(min * max);
  // Predictions may leave the bracket, because a step's value changes a little with the prices learned in earlier passes.
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
  return from === undefined ? low : high; // nothing to interpolate, or the bound itself is the target
}

const clamp = (step: number, [min, max]: readonly [number, number]) => Math.min(Math.max(step, min), max);

const isWithin = ({ value }: Trial, { min, max }: Aim) => value >= min && value <= max;

/** Returns true when very different steps gave the same value, for example because every weight is zero. */
function isFlat(trials: readonly Trial[]): boolean {
  const [a, b] = trials.slice(-2);
  return !!a && !!b && a.value === b.value && Math.max(a.step / b.step, b.step / a.step) > FLAT_RANGE;
}

/**
 * Returns true when sizes hardly grow any more, although the step falls: no index is larger than the codec's last one. Where they have
 * not grown at all, nearly all weights are zero, and smaller steps are what is needed.
 */
function isFull(trials: readonly Trial[]): boolean {
  const [a, b] = trials.slice(-2);
  if (!a || !b || !(a.step / b.step > FLAT_RANGE) || b.value > a.value * (1 + FULL_GROWTH)) return false;
  return trials.some(({ value }) => value < b.value * (1 - 10 * FULL_GROWTH));
}

/** Returns the step at which the line through the two trials nearest to the target, in logarithms, reaches it. */
function secant(trials: readonly Trial[], target: number): number | undefined {
  const positive = trials.filter(({ value }) => value > 0 && value < Number.POSITIVE_INFINITY);
  const distance = ({ value }: Trial) => Math.abs(Math.log(value / target));
  const [a, b] = [...positive].sort((x, y) => distance(x) - distance(y));
  if (!a || !b || a.value === b.value || a.step === b.step) return undefined;
  const slope = Math.log(b.value / a.value) / Math.log(b.step / a.step);
  return a.step * Math.exp(Math.log(target / a.value) / slope);
}

/** Returns true when the last three trials are on one side and near each other, so that the other end of the bracket is stuck. */
function isStalled(trials: readonly Trial[]): boolean {
  const last = trials.slice(-3).map(({ step }) => step);
  return last.length === 3 && Math.max(...last) / Math.min(...last) < 1.001;
}
