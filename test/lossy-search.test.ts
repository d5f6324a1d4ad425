import { describe, expect, it } from 'vitest';
import { lossOf } from '../src/evaluation/report.js';
import type { CompressionPlan } from '../src/quantization/plan.js';
import type { Goal } from '../src/quantization/rate-control/budget.js';
import { type Candidates, searchCandidate } from '../src/quantization/search.js';

const counts = new Float64Array(64 * 2 * 2047).map((_, i) => (i % 2047 < 20 ? 100 : 0));

/** A model whose divergence is the step squared, whose size falls with it, and whose tuning divides the divergence by `gain`. */
class Synthetic implements Candidates {
  readonly log: string[] = [];
  /** What the file is at the end. */
  file: { readonly bytes: number; readonly kl: number } = { bytes: 0, kl: 0 };
  private untuned = this.file;

  constructor(
    readonly canTune: boolean,
    private readonly gain = 1.25,
    private readonly tunedBytes = 0,
  ) {}

  async write(step: number) {
    this.log.push('write');
    this.untuned = { bytes: Math.round(1e6 * step ** -0.3), kl: step ** 2 };
    this.file = this.untuned;
    return { step, counts };
  }
  async size() {
    return this.file.bytes;
  }
  async sample(step: number) {
    this.log.push('sample');
    return { step, bits: 8e6 * step ** -0.3, weights: 1e6, counts };
  }
  async measure() {
    this.log.push('measure');
    return { kl: { mean: this.file.kl } } as never;
  }
  async tune() {
    this.log.push('tune');
    this.file = { bytes: this.untuned.bytes + this.tunedBytes, kl: this.untuned.kl / this.gain };
  }
  async untune() {
    this.log.push('untune');
    this.file = this.untuned;
  }
  async writeLossless() {
    this.log.push('lossless');
    this.file = { bytes: 1e7, kl: 0 };
  }
}

const REPORT = 900;
const planFor = (goal: Pick<Goal, 'kind' | 'min' | 'max'>, samplesRate = false): CompressionPlan => ({
  tensors: [],
  quantizedWeights: 1e6,
  goal: { ...goal, limit: goal.max + REPORT, originalBytes: 2e7, reportBytes: REPORT },
  firstStep: 1,
  learnsPrices: false,
  samplesRate,
  tunes: true,
  stages: [],
});
const bytes = { kind: 'bytes', min: 2.985e6, max: 3e6 } as const;
const nats = { kind: 'kl', min: 0.0098, max: 0.01 } as const;

describe('a search for a size', () => {
  it('ends with a file within the budget, measured once', async () => {
    const model = new Synthetic(false);
    const { quality, note } = await searchCandidate(planFor(bytes), model);
    expect(model.file.bytes).toBeLessThanOrEqual(bytes.max);
    expect(model.file.bytes).toBeGreaterThanOrEqual(bytes.min);
    expect(model.log.filter((entry) => entry === 'measure')).toHaveLength(1);
    expect({ kl: lossOf(quality!), note }).toEqual({ kl: model.file.kl, note: undefined });
  });

  it('needs few whole passes after it has sampled', async () => {
    const model = new Synthetic(false);
    await searchCandidate(planFor(bytes, true), model);
    const times = (what: string) => model.log.filter((entry) => entry === what).length;
    expect(times('sample')).toBeGreaterThan(1);
    expect(times('write')).toBeLessThanOrEqual(2);
  });

  it('tunes at the end, but not beyond the budget', async () => {
    const tuned = new Synthetic(true);
    await searchCandidate(planFor(bytes), tuned);
    expect(tuned.log.slice(-2)).toEqual(['tune', 'measure']);
    const beyond = new Synthetic(true, 1.25, 20_000);
    await searchCandidate(planFor(bytes), beyond);
    expect(beyond.log.slice(-3)).toEqual(['tune', 'untune', 'measure']);
    expect(beyond.file.bytes).toBeLessThanOrEqual(bytes.max);
  });

  it("gives the finished file's bytes if the budget is not used up", async () => {
    const loose = planFor({ kind: 'bytes', min: 9.99e8, max: 1e9 });
    const { note } = await searchCandidate(loose, new Synthetic(false));
    expect(note?.(501_234_567)).toBe(
      'the budget allows 1000000900 bytes; the best file found below it has 501234567',
    );
  });

  it('refuses a budget below every size, naming the nearest', async () => {
    const search = searchCandidate(planFor({ kind: 'bytes', min: 995, max: 1000 }), new Synthetic(false));
    await expect(search).rejects.toThrow(
      /^the budget of 1900 bytes cannot be met; the nearest that can is 125893 bytes, a ratio of 158.9, and at most 900 more for its measured quality$/,
    );
  });
});

describe('a search for a divergence', () => {
  it('ends with a file within the budget', async () => {
    const model = new Synthetic(false);
    const { note } = await searchCandidate(planFor(nats), model);
    expect(model.file.kl).toBeLessThanOrEqual(nats.max);
    expect(model.file.kl).toBeGreaterThanOrEqual(nats.min);
    expect(note).toBeUndefined();
  });

  it('learns what tuning gains, and ends tuned', async () => {
    const model = new Synthetic(true);
    const { quality } = await searchCandidate(planFor(nats), model);
    expect(model.log.slice(-2)).toEqual(['tune', 'measure']);
    expect(model.file.kl).toBeLessThanOrEqual(nats.max);
    expect(model.file.kl).toBeGreaterThanOrEqual(nats.min);
    expect(lossOf(quality!)).toBe(model.file.kl);
    const untuned = new Synthetic(false);
    await searchCandidate(planFor(nats), untuned);
    expect(model.file.bytes).toBeLessThan(untuned.file.bytes);
  });

  it('ends with a lossless file if every step has too large a divergence', async () => {
    const model = new Synthetic(false);
    const { note } = await searchCandidate(planFor({ kind: 'kl', min: 0.98e-19, max: 1e-19 }), model);
    expect(model.log.slice(-2)).toEqual(['lossless', 'measure']);
    expect(note?.(0)).toMatch(/the file is lossless$/);
  });
});
