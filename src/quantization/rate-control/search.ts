/** What a search aims at: `value(step)` in [least, most], where the value moves one way as the step grows. */
export interface Aim {
  readonly least: number;
  readonly most: number;
  /** Whether the value grows with the step, as a divergence does, or falls, as a size does. */
  readonly grows: boolean;
}

/** A step that was tried. */
export interface Trial {
  readonly step: number;
  readonly value: number;
}

/** A guess at the step that has a value, from the trials so far; undefined for none. */
export type Predict = (trials: readonly Trial[], target: number) => number | undefined;

/** Trials before a search gives up: a secant in logarithms needs four to eight. */
const MAX_TRIALS = 20;
/** Predictions that have missed so often are no better than secants. */
const MAX_PREDICTIONS = 8;
/** The step moves by no more than this factor beyond what was tried. */
const WIDEST_MOVE = 4;
/** Steps farther apart than this give other files, unless nothing is left to change. */
const FAR = 1.5;
/** Steps nearer than this give the same file. */
const NARROWEST = 1e-5;

/**
 * Finds a step whose value is in the aim: secants of log value over log step, kept inside of the bracket, bisection
 * where they stall. The last call of `measure` is the step that is returned, and its value the one that is.
 * @param bounds the least and the largest step that make sense. @param predict knows better than a secant, or not.
 * @returns the trial that met the aim; or undefined with the nearest allowed one when none does.
 */
export async function searchStep(
  measure: (step: number) => Promise<number>,
  aim: Aim,
  first: number,
  bounds: readonly [least: number, most: number],
  predict?: Predict,
): Promise<{ readonly met: boolean; readonly nearest: Trial | undefined }> {
  const trials: Trial[] = [];
  let step = Math.min(Math.max(first, bounds[0]), bounds[1]);
  for (let i = 0; i < MAX_TRIALS; i++) {
    const value = await measure(step);
    trials.push({ step, value });
    if (value >= aim.least && value <= aim.most) return { met: true, nearest: trials.at(-1) };
    const next = nextStep(trials, aim, bounds, predict);
    if (next === undefined || (aim.grows && value <= aim.most && isFlat(trials))) break;
    step = next;
  }
  const allowed = trials.filter(({ value }) => value <= aim.most);
  const nearest = allowed.reduce<Trial | undefined>(
    (best, trial) => (best && best.value >= trial.value ? best : trial),
    undefined,
  );
  if (!nearest) return { met: false, nearest: trials.reduce((a, b) => (b.value < a.value ? b : a)) };
  return nearest === trials.at(-1) ? { met: false, nearest } : again(measure, aim, nearest.step);
}

/** Steps to the safe side before a search that had an allowed trial gives up. */
const MOST_AGAIN = 10;
const ASIDE = 1.02;

/** Measures an earlier step once more: what passes have learned since moves its value, which must not be over the limit for that. */
async function again(measure: (step: number) => Promise<number>, aim: Aim, from: number) {
  let nearest: Trial = { step: from, value: await measure(from) };
  for (let i = 0; i < MOST_AGAIN && nearest.value > aim.most; i++) {
    const step = aim.grows ? nearest.step / ASIDE : nearest.step * ASIDE;
    nearest = { step, value: await measure(step) };
  }
  return { met: nearest.value >= aim.least && nearest.value <= aim.most, nearest };
}

function nextStep(
  trials: readonly Trial[],
  { least, most, grows }: Aim,
  bounds: readonly [number, number],
  predict: Predict | undefined,
): number | undefined {
  const target = Math.sqrt(least * most);
  // Without regard to the bracket: what a step gives moves a little with what the passes before have taught.
  const predicted = trials.length <= MAX_PREDICTIONS ? predict?.(trials, target) : undefined;
  if (predicted !== undefined) {
    const step = Math.min(bounds[1], Math.max(bounds[0], predicted));
    return step === trials.at(-1)!.step ? undefined : step; // at a bound
  }
  const over = ({ value }: Trial) => value > target;
  const small = trials.filter((trial) => over(trial) !== grows).map(({ step }) => step);
  const large = trials.filter((trial) => over(trial) === grows).map(({ step }) => step);
  const from = small.length ? Math.max(...small) : undefined;
  const to = large.length ? Math.min(...large) : undefined;
  const low = from ?? Math.max(bounds[0], to! / WIDEST_MOVE);
  const high = to ?? Math.min(bounds[1], from! * WIDEST_MOVE);
  if (high / low < 1 + NARROWEST) return undefined; // at a bound
  const guess = secant(trials, target);
  const inside = guess !== undefined && guess > low && guess < high;
  if (inside && !(from && to && stalls(trials))) return guess;
  // nothing to lean on, or the bound itself is asked for
  if (from === undefined && to !== undefined) return inside ? guess : low;
  if (to === undefined && from !== undefined) return inside ? guess : high;
  return Math.sqrt(low * high);
}

/** True when steps far apart gave the same: nothing changes any more, as where every weight is zero. */
function isFlat(trials: readonly Trial[]): boolean {
  const [a, b] = trials.slice(-2);
  return !!a && !!b && a.value === b.value && Math.max(a.step / b.step, b.step / a.step) > FAR;
}

/** Where the line through the two trials nearest to the target, in logarithms, meets it. */
function secant(trials: readonly Trial[], target: number): number | undefined {
  const positive = trials.filter(({ value }) => value > 0 && value < Number.POSITIVE_INFINITY);
  const far = ({ value }: Trial) => Math.abs(Math.log(value / target));
  const [a, b] = [...positive].sort((x, y) => far(x) - far(y));
  if (!a || !b || a.value === b.value || a.step === b.step) return undefined;
  const slope = Math.log(b.value / a.value) / Math.log(b.step / a.step);
  return a.step * Math.exp(Math.log(target / a.value) / slope);
}

/** True when the last three trials lie on one side, near each other: the other end of the bracket does not move. */
function stalls(trials: readonly Trial[]): boolean {
  const last = trials.slice(-3);
  return (
    last.length === 3 &&
    Math.max(...last.map(({ step }) => step)) / Math.min(...last.map(({ step }) => step)) < 1.001
  );
}
