// The statistics of a comparison: llama.cpp's definitions, errors over windows, the running estimate.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { resultTables } from '../src/cli/evaluation-tables.js';
import type { Model } from '../src/core/model.js';
import { type ComparisonDetails, type Distribution, detailsOf } from '../src/evaluation/details.js';
import type { Evaluation } from '../src/evaluation/evaluate.js';
import { evaluate } from '../src/evaluation/node/run.js';
import type { RunningEstimate } from '../src/evaluation/running.js';
import { correlation, errorOfMean, estimate } from '../src/evaluation/statistics.js';
import { openModel } from '../src/open/open.js';
import { compress } from '../src/operations/compress.js';
import { loadTokenizer } from '../src/tokenizer/tokenizer.js';
import { comparisonOf, scoreToken, type TokenScores } from './helpers/comparison-reference.js';
import { EVALUATION_TEXT, TINY } from './helpers/fixtures.js';
import { logitsOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { folder, seededRandom } from './helpers/safetensors.js';

/** A copy whose BF16 weights have two bits of mantissa instead of seven. */
async function coarser(path: string): Promise<MemoryModel> {
  const copy = await MemoryModel.of(path);
  for (const { data } of copy.byName.values()) for (let i = 0; i < data.length; i += 2) data[i]! &= 0xe0;
  return copy;
}

const WINDOW = 64;
const WINDOWS = 4;

/** Checks every number of a comparison against the slow way. */
function expectSame(details: ReturnType<typeof detailsOf>, tokens: readonly TokenScores[], digits: number) {
  const { comparison, perplexity } = details;
  const { klQuantiles, changeQuantiles, logPerplexityCorrelation, ...measured } = comparisonOf(tokens);
  const found = { ...comparison!, ...comparison!.probabilityChange, perplexity } as unknown as Record<
    string,
    ComparisonDetails['perplexityRatio'] | Distribution
  >;
  for (const [name, [value, error]] of Object.entries(measured)) {
    const own = found[name]!;
    const { value: ownValue, tokenStandardError } = 'mean' in own ? own.mean : own;
    expect(ownValue, name).toBeCloseTo(value!, digits);
    expect(tokenStandardError, `${name}, error`).toBeCloseTo(error!, digits);
  }
  expect(comparison!.logPerplexityCorrelation).toBeCloseTo(logPerplexityCorrelation, digits);
  const all = ({ maximum, percentiles, minimum }: Distribution) => [
    maximum,
    ...percentiles.map(({ value }) => value),
    minimum,
  ];
  const pairs = [
    [all(comparison!.klNats), klQuantiles],
    [all(comparison!.probabilityChange), changeQuantiles],
  ] as const;
  for (const [own, slow] of pairs)
    own.forEach((value, i) => {
      expect(value).toBeCloseTo(slow[i]!, digits);
    });
}

const scoresOf = (tokens: readonly TokenScores[]) => {
  const all = (name: keyof TokenScores) => Float64Array.from(tokens, (token) => token[name]);
  return {
    nll: all('nll'),
    comparison: { referenceNll: all('referenceNll'), kl: all('kl'), agrees: all('agrees') },
  };
};

describe('statistics of random scores', () => {
  it.each([1, 2, 3, 4])('are those of a slow second way, seed %i', (seed) => {
    const random = seededRandom(seed);
    const tokens = Array.from({ length: 12 * seed }, () => {
      const referenceNll = 5 * random() ** 2;
      const nll = Math.max(0, referenceNll + 0.3 * (random() - 0.4));
      return { nll, referenceNll, kl: random() ** 8, agrees: Number(random() < 0.8) };
    });
    expectSame(detailsOf(scoresOf(tokens), seed), tokens, 10);
  });

  it('have errors over windows that are those of the windows as single values', () => {
    // Every window twice the same token: the windows' means are the tokens.
    const pairs = [1.5, 2, 4].flatMap((nll) =>
      Array(2).fill({ nll, referenceNll: 1.1 * nll, kl: nll / 9, agrees: 1 }),
    );
    const doubled = detailsOf(scoresOf(pairs), 3).comparison!;
    const single = detailsOf(scoresOf(pairs.filter((_, i) => i % 2)), 3).comparison!;
    for (const name of ['perplexityRatio', 'perplexityDifference', 'logPerplexityRatioNats'] as const) {
      expect(doubled[name].standardError).toBeCloseTo(single[name].tokenStandardError!, 12);
      expect(doubled[name].tokenStandardError).toBeLessThan(doubled[name].standardError!);
    }
    expect(doubled.logPerplexityCorrelation).toBeCloseTo(1, 12);
  });

  it('know what they cannot tell: errors of one value, the correlation of a constant', () => {
    expect(errorOfMean(Float64Array.of(3))).toBeNull();
    expect(estimate(Float64Array.of(1, 3), 1)).toEqual({ mean: 2, standardError: null });
    expect(correlation(Float64Array.of(1, 2, 3), Float64Array.of(5, 5, 5))).toBeNull();
    expect(correlation(Float64Array.of(1, 2, 3), Float64Array.of(6, 4, 2))).toBeCloseTo(-1, 12);
  });
});

describe('a trained model and a coarser copy on held-out text', () => {
  const running: RunningEstimate[] = [];
  let [original, coarse]: Model[] = [];
  let result: Evaluation;
  let tokens: number[];
  beforeAll(async () => {
    original = await openModel(TINY);
    coarse = (await coarser(TINY)) as unknown as Model;
    const all = (await loadTokenizer(original)).encode(readFileSync(EVALUATION_TEXT, 'utf8'));
    tokens = [...all.slice(0, WINDOWS * WINDOW)];
    const onWindow = (estimate: RunningEstimate) => running.push(estimate);
    result = await evaluate(coarse, { tokens, window: WINDOW, against: original, onWindow });
    return () => original!.close();
  });

  const slowScores = async (model: Model) => {
    const windows = Array.from({ length: WINDOWS }, (_, i) => tokens.slice(i * WINDOW, (i + 1) * WINDOW));
    const [p, q] = [await logitsOf(original!, windows), await logitsOf(model, windows)];
    const vocabulary = p!.length / tokens.length;
    return tokens.flatMap((_, i) => {
      if ((i + 1) % WINDOW === 0) return [];
      const row = [i * vocabulary, (i + 1) * vocabulary] as const;
      return [scoreToken(p!.subarray(...row), q!.subarray(...row), tokens[i + 1]!)];
    });
  };

  it('differ by what a slow second way computes from their logits', async () => {
    expectSame(result.details, await slowScores(coarse!), 6);
    // Of some size, or all of this would hold for anything.
    const { klNats, probabilityChange } = result.details.comparison!;
    expect(klNats.percentiles.map(({ percent }) => percent)).toEqual([
      ...[99.9, 99, 95, 90, 75, 50, 25, 10, 5, 1, 0.1],
    ]);
    expect(klNats.mean.value).toBeGreaterThan(1e-4);
    expect(probabilityChange.rootMeanSquare.value).toBeGreaterThan(1e-3);
  });

  it('so do the original and a .wpk of 5 bits per weight', { tags: 'slow' }, async () => {
    const path = join(folder({}), 'tiny.wpk');
    await compress(original!, path, { budget: { bits: 5 }, calibration: false });
    const compressed = await openModel(path);
    const { details } = await evaluate(compressed, { tokens, window: WINDOW, against: original! });
    expectSame(details, await slowScores(compressed), 6);
    expect(details.comparison!.klNats.mean.value).toBeGreaterThan(1e-4);
    await compressed.close();
  });

  it('have a summary that says the same', () => {
    const { details, perplexity, standardError, reference, nllDifference, kl, top1 } = result;
    const { klNats, ...comparison } = details.comparison!;
    expect(details.perplexity).toMatchObject({ value: perplexity, standardError });
    expect(comparison.referencePerplexity.value).toBe(reference!.perplexity);
    expect(comparison.logPerplexityRatioNats.value).toBe(nllDifference!.mean);
    expect(klNats.mean).toMatchObject({ value: kl!.mean, standardError: kl!.standardError });
    expect([klNats.maximum, klNats.percentiles[5]!.value]).toEqual([kl!.max, kl!.median]);
    expect(comparison.sameTopToken.value).toBe(top1!.agreement);
  });

  it('are estimated after every window, the last time as in the result', async () => {
    expect(running.map(({ windows, totalWindows }) => [windows, totalWindows])).toEqual(
      [1, 2, 3, 4].map((window) => [window, WINDOWS]),
    );
    const half = await evaluate(coarse!, {
      ...{ tokens, window: WINDOW, against: original!, maxTokens: 2 * WINDOW },
    });
    for (const [estimate, { perplexity, reference, kl }] of [
      [running[1]!, half],
      [running[3]!, result],
    ] as const) {
      expect(estimate.perplexity).toBeCloseTo(perplexity, 8);
      expect(estimate.referencePerplexity).toBeCloseTo(reference!.perplexity, 8);
      expect(estimate.klNats).toBeCloseTo(kl!.mean, 12);
    }
  });

  it('is printed in 80 columns, with every number', () => {
    const printed = resultTables(result);
    const huge = detailsOf(
      scoresOf([{ nll: 99, referenceNll: 2, kl: 97, agrees: 0 }].flatMap((t) => [t, { ...t, nll: 50 }])),
      2,
    );
    for (const text of [printed, resultTables({ ...result, details: huge })])
      expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    const { klNats, probabilityChange, perplexityRatio } = result.details.comparison!;
    expect(printed).toMatch(
      new RegExp(`^perplexity ratio +${perplexityRatio.value.toFixed(6)} +[\\d.]+ +[\\d.]+$`, 'm'),
    );
    for (const [name, i] of [
      ['99.9 %', 0],
      ['median', 5],
      ['0.1 %', 10],
    ] as const) {
      const change = (100 * probabilityChange.percentiles[i]!.value).toFixed(3);
      const line = printed.split('\n').find((each) => each.startsWith(name))!;
      expect(line).toMatch(new RegExp(` ${change} %$`));
    }
    expect(printed).toMatch(new RegExp(`^maximum +${klNats.maximum.toFixed(5)} `, 'm'));
  });
});
