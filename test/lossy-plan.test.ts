import { describe, expect, it } from 'vitest';
import { planCompression } from '../src/quantization/plan.js';
import type { Goal } from '../src/quantization/rate-control/budget.js';

const tensor = (name: string, dtype: 'F32' | 'BF16' | 'I64', shape: number[]) => {
  const elements = shape.reduce((product, size) => product * size, 1);
  return { name, dtype, shape, lengthBytes: elements * { F32: 4, BF16: 2, I64: 8 }[dtype] };
};
const MATRIX = tensor('matrix', 'BF16', [64, 64]);
const tokens = { calibrationTokens: 8192, measuredTokens: 2048 };
const bytes: Goal = { kind: 'bytes', min: 995, max: 1000, limit: 1000, originalBytes: 9000, reportBytes: 0 };
const nats: Goal = { kind: 'kl', min: 0.0098, max: 0.01, limit: 0.01, originalBytes: 9000, reportBytes: 0 };
const plan = (input: Partial<Parameters<typeof planCompression>[0]> = {}) =>
  planCompression({ tensors: [MATRIX], exact: new Map(), goal: bytes, tune: true, tokens, ...input });

describe('the plan of a lossy compression', () => {
  it('says what becomes of every tensor, and why', () => {
    const tensors = [
      MATRIX,
      tensor('norm', 'F32', [4096]),
      tensor('adapter', 'F32', [8, 16]),
      tensor('positions', 'I64', [64, 64]),
      tensor('router', 'F32', [16, 128]),
    ];
    const { tensors: planned, quantizedWeights } = plan({
      tensors,
      exact: new Map([
        ['positions', 'no floats'],
        ['router', 'routers'],
      ]),
    });
    expect(planned.map(({ tensor, ...rest }) => [tensor.name, rest])).toEqual([
      ['matrix', { treatment: 'quantized' }],
      ['norm', { treatment: 'rounded', reason: 'not a matrix that the codec holds' }],
      ['adapter', { treatment: 'rounded', reason: 'small' }],
      ['positions', { treatment: 'exact', reason: 'no floats' }],
      ['router', { treatment: 'exact', reason: 'routers' }],
    ]);
    expect(quantizedWeights).toBe(64 * 64);
  });

  it('has more passes for a small model, which may be tuned, and samples a large one', () => {
    const large = plan({ tensors: [tensor('large', 'BF16', [2 ** 14, 2 ** 13])] });
    expect(plan()).toMatchObject({ learnsPrices: true, samplesRate: false, tunes: true });
    expect(large).toMatchObject({ learnsPrices: false, samplesRate: true, tunes: false });
    const passes = ({ stages }: typeof large) => stages.filter(({ name }) => name === 'quantizing').length;
    expect([passes(plan()), passes(large)]).toEqual([5, 2]);
  });

  it('measures every pass of a search for a divergence, and begins where its step is about right', () => {
    const { stages, firstStep, samplesRate } = plan({ goal: nats });
    expect(stages.map(({ name }) => name).slice(0, 5)).toEqual([
      'calibrating',
      'quantizing',
      'measuring',
      'quantizing',
      'measuring',
    ]);
    expect((firstStep ** 2 * 64 * 64) / 24).toBeCloseTo(0.01, 9);
    expect(samplesRate).toBe(false);
  });

  it('is refused for a divergence without a text', () => {
    expect(() => plan({ goal: nats, tokens: undefined })).toThrow(/kl needs a text/);
  });
});
