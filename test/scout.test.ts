import { expect, it } from 'vitest';
import { SampledRateModel } from '../src/quantization/rate-control/sampled-rate-model.js';

/** Passes over a model whose bits a weight fall with the step as given; counts that say nothing. */
function passesOf(bitsAt: (step: number) => number, weights = 1000) {
  const tried: number[] = [];
  return {
    tried,
    counts: new Float64Array(64 * 2 * 2047).fill(1),
    sample: async (step: number) => {
      tried.push(step);
      return { bits: bitsAt(step) * weights, weights };
    },
  };
}

const curve = (step: number) => 3 * step ** -0.4;

it('comes near the target on the sample, and then stops', async () => {
  const passes = passesOf(curve);
  const scout = new SampledRateModel(passes as never);
  const step = await scout.find(2, 1);
  expect(Math.abs(curve(step) / 2 - 1)).toBeLessThan(0.01);
  expect(passes.tried.length).toBeLessThanOrEqual(4);
});

it('tells what step scales the bits, as they fell between its trials', async () => {
  const passes = passesOf(curve);
  const scout = new SampledRateModel(passes as never);
  const step = await scout.find(2, 1);
  const scaled = scout.scaled(step, 0.97)!;
  expect(curve(scaled) / curve(step)).toBeCloseTo(0.97, 6);
  expect(scout.scaled(step, -1)).toBeUndefined();
});

it('tries once where the first step is right, and then knows no slope', async () => {
  const passes = passesOf(curve);
  const scout = new SampledRateModel(passes as never);
  expect(await scout.find(3, 1)).toBe(1);
  expect(passes.tried).toEqual([1]);
  expect(scout.scaled(1, 0.9)).toBeUndefined();
});
