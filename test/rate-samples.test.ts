import { expect, it } from 'vitest';
import { predictBits } from '../src/quantization/rate-control/rate-model.js';
import { nextSample, type RateSample, sizePredictor } from '../src/quantization/rate-control/rate-samples.js';

const WEIGHTS = 1000;
const curve = (step: number) => 3 * step ** -0.4;
/** Equal counts: their entropy tells nothing of the curve. */
const counts = new Float64Array(64 * 2 * 2047).fill(1);

const sampleAt = (step: number): RateSample => ({
  step,
  bits: curve(step) * WEIGHTS,
  weights: WEIGHTS,
  counts,
});

/** Samples the curve as a search does, until a step is final. */
function sampled(target: number, first: number) {
  const samples: RateSample[] = [];
  for (;;) {
    const { step, isFinal } = nextSample(samples, target, first);
    if (isFinal) return { samples, step };
    samples.push(sampleAt(step));
  }
}

it('comes near the target in at most four samples', () => {
  const { samples, step } = sampled(2, 1);
  expect(Math.abs(curve(step) / 2 - 1)).toBeLessThan(0.01);
  expect(samples.length).toBeGreaterThan(1);
  expect(samples.length).toBeLessThanOrEqual(4);
});

it('ends with the first step where that is right', () => {
  expect(sampled(3, 1)).toEqual({ samples: [sampleAt(1)], step: 1 });
});

it('predicts from the slope between samples what step gives a file its size', () => {
  const { samples, step } = sampled(2, 1);
  const value = 50_000;
  const target = value - (predictBits(counts, 0) * 0.03) / 8; // 3 % fewer bits in the indices
  const predicted = sizePredictor(samples)([{ step, value, counts }], target)!;
  expect(curve(predicted) / curve(step)).toBeCloseTo(0.97, 6);
});

it('predicts from the counts of the last trial where there are no samples', () => {
  const laplace = new Float64Array(counts.length);
  for (let context = 20; context < 44; context++)
    for (const quantizer of [0, 1])
      for (let k = -40; k <= 40; k++)
        laplace[(context * 2 + quantizer) * 2047 + 1023 + k] = Math.round(
          1e5 * Math.exp(-Math.abs(k) / 2 ** ((context - 24) / 4)),
        );
  const bits = predictBits(laplace, 0);
  const value = 100_000 + bits / 8;
  const predict = (target: number) => sizePredictor([])([{ step: 1, value, counts: laplace }], target)!;
  expect(predict(value)).toBeCloseTo(1, 6);
  const half = predict(value - bits / 16);
  expect(half).toBeGreaterThan(1);
  expect(predictBits(laplace, Math.log2(half)) / bits).toBeCloseTo(0.5, 6);
});
