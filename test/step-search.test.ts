import { describe, expect, it, test } from 'vitest';
import { type Aim, decide, searchStep, type Trial } from '../src/quantization/rate-control/step-search.js';

const bounds = [1e-9, 1e3] as const;

/** Searches a curve, and says which steps were tried. */
async function search(curve: (step: number, calls: number) => number, aim: Aim, first: number) {
  const steps: number[] = [];
  const attempt = async (step: number) => {
    steps.push(step);
    return { step, value: curve(step, steps.length) };
  };
  return { ...(await searchStep(attempt, aim, { first, bounds })), steps };
}

test.each([
  ['a power', (step: number) => 1e6 / step ** 0.7],
  ['logarithmic, as bits are', (step: number) => Math.max(10, 2e5 * (20 - Math.log2(step)))],
  ['in stairs', (step: number) => Math.round(1e6 / (1 + step) / 500) * 500],
])('a size is found that is %s', async (_, size) => {
  const aim = { min: size(0.02) * 0.9975, max: size(0.02) * 1.0025, increasing: false };
  const { met, trial, steps } = await search(size, aim, 1);
  expect(met).toBe(true);
  expect(trial.value).toBeLessThanOrEqual(aim.max);
  expect(trial.value).toBeGreaterThanOrEqual(aim.min);
  expect(steps.at(-1)).toBe(trial.step);
  expect(steps.length).toBeLessThan(16);
});

describe('a search that fails', () => {
  const aim = { min: 990, max: 1000, increasing: false };
  const jump = (step: number) => (step > 0.1 ? 500 : 2000);

  it('ends with the nearest that is allowed, written last', async () => {
    const { met, trial, steps } = await search(jump, aim, 1e-4);
    expect({ met, value: trial.value }).toEqual({ met: false, value: 500 });
    expect(steps.at(-1)).toBe(trial.step);
  });

  it('names the smallest value where none is allowed', async () => {
    const { met, trial } = await search((step) => 2000 + 1 / step, aim, 1);
    expect(met).toBe(false);
    expect(trial).toEqual({ step: 1e3, value: 2000.001 });
  });

  it('ends where a size grows no more, although the step falls, but not where all is zero', async () => {
    const full = { min: 1.79e6, max: 1.8e6, increasing: false };
    const size = (step: number) => Math.min(1.64e6 - step * 1e6, 1e5 * (20 - Math.log2(step)) - 1.5e6);
    const { met, steps } = await search(size, full, 0.1);
    expect(met).toBe(false);
    expect(steps.at(-1)).toBe(Math.min(...steps));
    expect(steps.at(-1)).toBeGreaterThan(1e-6);
    const zeros = (step: number) => (step > 1 ? 5e4 : 5e4 / step);
    expect(await search(zeros, full, 1e3)).toMatchObject({ met: true });
  });

  it('ends where nothing changes any more', async () => {
    const divergence = (step: number) => Math.min(7, step * 1000);
    const { met, trial, steps } = await search(divergence, { min: 98, max: 100, increasing: true }, 1);
    expect({ met, value: trial.value }).toEqual({ met: false, value: 7 });
    expect(steps.length).toBeLessThan(4);
    expect(steps.at(-1)).toBe(trial.step);
  });
});

describe('what comes next', () => {
  const aim = { min: 90, max: 100, increasing: true };
  const options = { first: 5, bounds };
  const next = (...trials: Trial[]) => decide(trials, [], aim, options);

  it('is the first step, within its bounds', () => {
    expect(next()).toEqual({ step: 5, isRepeat: false });
    expect(decide([], [], aim, { first: 1e9, bounds })).toEqual({ step: 1e3, isRepeat: false });
  });

  it('is the end as soon as a value is in the aim', () => {
    const last = { step: 2, value: 95 };
    expect(next({ step: 5, value: 300 }, last)).toEqual({ met: true, trial: last });
  });

  it('moves by at most a factor of four beyond what was tried', () => {
    expect(next({ step: 5, value: 1 })).toEqual({ step: 20, isRepeat: false });
    expect(next({ step: 5, value: 1e6 })).toEqual({ step: 1.25, isRepeat: false });
  });

  it('is on the secant between two trials, in logarithms', () => {
    const { step } = next({ step: 1, value: 1 }, { step: 100, value: 1e4 }) as { step: number };
    expect(step).toBeCloseTo(Math.sqrt(Math.sqrt(90 * 100)), 9);
  });

  it('is what is predicted, as long as predictions have not missed too often', () => {
    const predicted = { ...options, predict: () => 7 };
    const trials = Array.from({ length: 9 }, (_, i) => ({ step: 1 + i / 10, value: 1 + i }));
    expect(decide(trials.slice(0, 8), [], aim, predicted)).toEqual({ step: 7, isRepeat: false });
    expect(decide(trials, [], aim, predicted)).not.toEqual({ step: 7, isRepeat: false });
  });

  it('is an earlier step again where nothing else is left, and then a little less while that is over the limit', () => {
    const flat = [
      { step: 1, value: 7 },
      { step: 4, value: 7 },
    ];
    const repeated = (...values: number[]) => {
      const repeats = values.map((value, i) => ({ step: 1 / 1.02 ** i, value }));
      return decide(flat, repeats, aim, options);
    };
    expect(repeated()).toEqual({ step: 1, isRepeat: true });
    expect(repeated(101)).toEqual({ step: 1 / 1.02, isRepeat: true });
    expect(repeated(101, 8)).toEqual({ met: false, trial: { step: 1 / 1.02, value: 8 } });
    expect(repeated(101, 95)).toMatchObject({ met: true });
    expect(repeated(...Array(11).fill(101))).toMatchObject({ met: false, trial: { value: 101 } });
  });

  it('depends on nothing but the trials', () => {
    const trials = [
      { step: 5, value: 300 },
      { step: 1, value: 20 },
    ];
    expect(next(...trials)).toEqual(next(...structuredClone(trials)));
  });
});
