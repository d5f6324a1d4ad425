import { expect, test } from 'vitest';
import { roundMantissa } from '../src/core/round.js';
import { planStages } from '../src/quantization/plan.js';
import { TimeLeft } from '../src/quantization/progress.js';
import { checkBudget, goalOf, parseSize } from '../src/quantization/rate-control/budget.js';

test.each([
  ['400MB', 400_000_000],
  ['1.5 GB', 1_500_000_000],
  ['300KiB', 307_200],
  ['.5kb', 500],
  ['12345', 12345],
])('%s is a size', (text, bytes) => expect(parseSize(text)).toBe(bytes));

test.each(['', '3 apples', '-1MB', '1e6', 'MB', '0'])('%j is not', (text) => {
  if (text === '0')
    expect(() => checkBudget({ size: parseSize(text) })).toThrow(/expected a positive size, found 0/);
  else expect(() => parseSize(text)).toThrow(/expected a size such as 400MB/);
});

test('one budget, and no other', () => {
  expect(() => checkBudget({})).toThrow(/found none/);
  expect(() => checkBudget({ bits: 3, ratio: 4 })).toThrow(/found bits and ratio/);
  expect(() => checkBudget({ kl: Number.NaN })).toThrow(/expected a positive kl, found NaN/);
  checkBudget({ ratio: 853 });
});

test('converts budgets to bytes of the whole file, with side files where they count', () => {
  const sizes = { originalBytes: 1_000_000, sideBytes: 1000, parameters: 80_000, reportBytes: 0 };
  expect(goalOf({ ratio: 10 }, sizes)).toMatchObject({ kind: 'bytes', max: 100_000, min: 99_500 });
  expect(goalOf({ size: 5000 }, sizes)).toMatchObject({ max: 5000 });
  expect(goalOf({ bits: 3 }, sizes)).toMatchObject({ max: 31_000 });
  expect(goalOf({ kl: 0.01 }, sizes)).toMatchObject({ kind: 'kl', min: 0.0098, max: 0.01 });
  expect(goalOf({ kl: 3 }, sizes)).toMatchObject({ kind: 'kl', min: 0.95 * 3, max: 3 });
});

test('room is left for the report of what is measured: no file grows beyond the limit, and most are near it', () => {
  const sizes = { originalBytes: 1_000_000, sideBytes: 1000, parameters: 80_000, reportBytes: 900 };
  expect(goalOf({ size: 400_000 }, sizes)).toMatchObject({ min: 398_000, max: 399_100, limit: 400_000 });
  expect(goalOf({ size: 100_000 }, sizes)).toMatchObject({ min: 98_850, max: 99_100, limit: 100_000 });
  expect(goalOf({ size: 500 }, sizes)).toMatchObject({ max: 1, limit: 500 }); // no file is so small
  expect(goalOf({ kl: 0.01 }, sizes)).toMatchObject({ max: 0.01, limit: 0.01 });
});

test('rounding to bf16 is to nearest even, and never to infinity', () => {
  const largest = 3.4028234663852886e38;
  const values = Float32Array.of(
    1,
    1 + 2 ** -8,
    1 + 3 * 2 ** -8,
    -(1 + 2 ** -7 + 2 ** -20),
    largest,
    -largest,
  );
  roundMantissa(values, 7);
  const largestBf16 = 2 ** 127 * (2 - 2 ** -7);
  expect([...values]).toEqual([1, 1, 1 + 2 ** -6, -(1 + 2 ** -7), largestBf16, -largestBf16]);
  const kept = Float32Array.of(Number.POSITIVE_INFINITY, Number.NaN);
  roundMantissa(kept, 7);
  expect([...kept]).toEqual([Number.POSITIVE_INFINITY, Number.NaN]);
});

test('the time left is that of every stage still planned, at the speed so far', async () => {
  const plan = planStages({
    weights: 1e9,
    calibrationTokens: 8192,
    measuredTokens: 2048,
    passes: 2,
    measuresEach: false,
  });
  expect(plan.map(({ name }) => name)).toEqual(['calibrating', 'quantizing', 'quantizing', 'measuring']);
  const seconds = (from: number) => plan.slice(from).reduce((sum, stage) => sum + stage.seconds, 0);
  const remaining = new TimeLeft(plan);
  remaining.begin('quantizing'); // statistics were there already
  const calibrated = new TimeLeft(plan);
  for (const stage of ['calibrating', 'quantizing', 'quantizing']) calibrated.begin(stage);
  expect(remaining.seconds(0.5)).toBeUndefined();
  await new Promise((resolve) => setTimeout(resolve, 1100));
  const half = remaining.seconds(0.5)!;
  remaining.begin('quantizing');
  const whole = remaining.seconds(0)!;
  const share = (half * (plan[1]!.seconds / 2)) / (whole * plan[1]!.seconds);
  expect(share).toBeCloseTo((seconds(2) + plan[1]!.seconds / 2) / seconds(2), 1);
  // the same is left, but as much more was done in the same time
  const done = (plan[0]!.seconds + plan[1]!.seconds) / plan[1]!.seconds;
  expect(whole / calibrated.seconds(0)!).toBeCloseTo(done, 1);
  remaining.begin('measuring');
  expect(remaining.seconds(1)).toBe(0);
});
