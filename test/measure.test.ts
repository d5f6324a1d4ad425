import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { evaluateCommand } from '../src/cli/evaluate.js';
import { evaluate } from '../src/evaluation/node/run.js';
import { estimate, quantile } from '../src/evaluation/statistics.js';
import { cutWindows } from '../src/evaluation/windows.js';
import { openModel } from '../src/open/open.js';
import { compress } from '../src/operations/compress.js';
import { loadTokenizer } from '../src/tokenizer/tokenizer.js';
import { EVALUATION_TEXT, FIXTURES, SMALL, TINY } from './helpers/fixtures.js';
import { gptNeoLogits, logProbabilities } from './helpers/gpt-neo-reference.js';
import { logitsOf, refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { narrow } from './helpers/models.js';
import { folder } from './helpers/safetensors.js';

const text = readFileSync(EVALUATION_TEXT, 'utf8');
type Options = Parameters<typeof evaluate>[1];
const run = (memory: MemoryModel, options: Options, against?: MemoryModel) =>
  evaluate(memory as never, { ...options, ...(against && { against: against as never }) });

describe('perplexity of trained models', () => {
  // Perplexities and their errors from PyTorch, as fixtures/README.md has them.
  it('gpt-neo-small', { tags: 'slow' }, () => agreesWithPyTorch(SMALL, 44.6362, 0.86));
  it('gpt-neo-tiny', { tags: 'slow' }, () => agreesWithPyTorch(TINY, 73.8325, 1.42));

  async function agreesWithPyTorch(path: string, perplexity: number, standardError: number) {
    const model = await openModel(path);
    const progress: [number, number][] = [];
    const result = await evaluate(model, {
      text,
      window: 256,
      onProgress: ({ done, total }) => progress.push([done, total]),
    });
    await model.close();
    expect(result).toMatchObject({ kind: 'causal', windows: 226, window: 256, tokens: 226 * 255 });
    expect(Math.abs(result.perplexity / perplexity - 1)).toBeLessThan(1e-5);
    expect(result.standardError).toBeCloseTo(standardError, 2);
    expect(Math.log(result.perplexity)).toBeCloseTo(result.nll.mean, 12);
    const [done, total] = progress.at(-1)!;
    expect(done).toBeCloseTo(total, 3);
    expect(progress.every(([at], i) => at >= (progress[i - 1]?.[0] ?? 0))).toBe(true);
  }

  it('a model does not diverge from itself, also from its .wpk', async () => {
    const path = join(folder({}), 'tiny.wpk');
    const original = await openModel(TINY);
    await compress(original, path, { threads: 1 });
    const packed = await openModel(path);
    const result = await evaluate(packed, { text, against: original, maxTokens: 1024 });
    await Promise.all([original.close(), packed.close()]);
    expect(result.kl).toEqual({ mean: 0, standardError: 0, median: 0, p99: 0, max: 0 });
    expect(result.top1).toEqual({ agreement: 1, standardError: 0 });
    expect(result.nllDifference).toEqual({ mean: 0, standardError: 0 });
    const { perplexityRatio, logPerplexityCorrelation, probabilityChange } = result.details.comparison!;
    expect(perplexityRatio).toEqual({ value: 1, standardError: 0, tokenStandardError: 0 });
    expect(logPerplexityCorrelation).toBe(1);
    expect(probabilityChange).toMatchObject({ maximum: 0, minimum: 0, rootMeanSquare: { value: 0 } });
    expect(result.reference!.perplexity).toBe(result.perplexity);
  });

  it('what rounding to bf16 does, as a slow second way computes it', { tags: 'slow' }, async () => {
    const original = await MemoryModel.of(SMALL);
    const rounded = await MemoryModel.of(SMALL);
    for (const { name, shape } of rounded.tensors)
      rounded.set(name, shape, narrow(rounded.floats(name), 'BF16').widened);
    // Longer than the 128 keys that local layers see.
    const tokens = (await loadTokenizer(original as never)).encode(text).slice(0, 2 * 160);
    const result = await run(rounded, { tokens, window: 160 }, original);

    const [kl, agrees, nll]: [number[], number[], number[]] = [[], [], []];
    for (let start = 0; start < tokens.length; start += 160) {
      const window = tokens.slice(start, start + 160);
      const [p, q] = [original, rounded].map((model) => gptNeoLogits(model, window).map(logProbabilities));
      for (let i = 0; i < 159; i++) {
        kl.push(p![i]!.reduce((total, logP, token) => total + Math.exp(logP) * (logP - q![i]![token]!), 0));
        agrees.push(Number(largest(p![i]!) === largest(q![i]!)));
        nll.push(-q![i]![window[i + 1]!]!);
      }
    }
    expect(result.tokens).toBe(kl.length);
    expect(Math.abs(result.nll.mean - mean(nll))).toBeLessThan(1e-5);
    expect(Math.abs(result.kl!.mean / mean(kl) - 1)).toBeLessThan(0.01);
    expect(result.top1!.agreement).toBeCloseTo(mean(agrees), 12);
    const sorted = kl.toSorted((a, b) => a - b);
    const at = 0.99 * (sorted.length - 1);
    const p99 = sorted[Math.floor(at)]! + (at % 1) * (sorted[Math.ceil(at)]! - sorted[Math.floor(at)]!);
    expect(Math.abs(result.kl!.p99 / p99 - 1)).toBeLessThan(0.01);
    expect(Math.abs(result.kl!.max / sorted.at(-1)! - 1)).toBeLessThan(0.01);
    // Of some size, or all of the above would hold for anything.
    expect(result.kl!.mean).toBeGreaterThan(1e-6);
  });
});

describe('the second half of a window', () => {
  it('is scored with the first half as its context, alone and as llama.cpp counts it', async () => {
    const gpt2 = await MemoryModel.of(join(FIXTURES, 'gpt2'));
    const tokens = Array.from({ length: 48 }, (_, i) => (i * 31) % 97);
    const result = await run(gpt2, { tokens, window: 16, secondHalf: true }, gpt2);
    // of 16 tokens, those at 9 to 15
    expect(result).toMatchObject({ windows: 3, tokens: 3 * 7, kl: { max: 0 } });
    const logits = await logitsOf(gpt2, [tokens.slice(0, 16), tokens.slice(16, 32), tokens.slice(32)]);
    const nll = tokens.flatMap((token, i) => {
      if (i % 16 < 9) return [];
      const row = Float64Array.from(logits.subarray((i - 1) * 97, i * 97));
      return [-logProbabilities(row)[token]!];
    });
    expect(result.nll.mean).toBeCloseTo(mean(nll), 6);
  });
});

describe('weightpress evaluate', () => {
  it('prints what was measured, with standard errors', async () => {
    let written = '';
    const spy = vi.spyOn(process.stdout, 'write').mockImplementation((line) => {
      written += line;
      return true;
    });
    const args = [TINY, '--text', EVALUATION_TEXT, '--against', SMALL, '--window', '128', '--tokens', '300'];
    await evaluateCommand().parseAsync(args, { from: 'user' });
    const table = written;
    written = '';
    await evaluateCommand()
      .parseAsync([...args, '--json'], { from: 'user' })
      .finally(() => spy.mockRestore());
    const { perplexity, standardError, kl, top1, windows, tokens, details } = JSON.parse(written);
    expect({ windows, tokens }).toEqual({ windows: 2, tokens: 2 * 127 });
    expect(table).toMatch('2 windows of 128 tokens, 254 predicted');
    const line = (digits: number, ...values: readonly number[]) =>
      `${values.map((value) => value.toFixed(digits)).join(' +')}$`;
    const tokenError = details.perplexity.tokenStandardError;
    expect(table).toMatch(new RegExp(`^perplexity +${line(4, perplexity, standardError, tokenError)}`, 'm'));
    const klTokenError = details.comparison.klNats.mean.tokenStandardError;
    expect(table).toMatch(new RegExp(`nats: mean +${line(5, kl.mean, kl.standardError, klTokenError)}`, 'm'));
    expect(table).toMatch(`${(100 * top1.agreement).toFixed(2)} %`);
  });
});

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const largest = (values: Float64Array) => values.indexOf(values.reduce((a, b) => Math.max(a, b)));

describe('a masked language model', () => {
  const tokens = Array.from({ length: 100 }, (_, i) => 4 + ((i * 29) % 90));

  it('is asked for 15 % of each window, the same ones each time', async () => {
    const roberta = await MemoryModel.of(join(FIXTURES, 'roberta'));
    const first = await run(roberta, { tokens, window: 20, maskToken: 3 }, roberta);
    expect(first).toMatchObject({ kind: 'masked', windows: 5, tokens: 15, kl: { mean: 0, max: 0 } });
    expect(await run(roberta, { tokens, window: 20, maskToken: 3 }, roberta)).toEqual(first);
    // Random weights know nothing: worse than guessing among all tokens.
    expect(first.perplexity).toBeGreaterThan(20);
  });

  it('has no second half', async () => {
    const roberta = await MemoryModel.of(join(FIXTURES, 'roberta'));
    const options = { tokens, window: 20, maskToken: 3, secondHalf: true };
    expect(await refusalOf(() => run(roberta, options))).toMatch(/masked model predicts tokens everywhere/);
  });

  it('hides what it asks for and nothing else', () => {
    const windows = cutWindows(tokens, { kind: 'masked', length: 20, vocabulary: 97, maskToken: 3 });
    windows.forEach(({ input, rows, targets }, index) => {
      const original = tokens.slice(index * 20, (index + 1) * 20);
      expect([...targets]).toEqual(rows.map((row) => original[row]));
      expect([...input]).toEqual(original.map((token, i) => (rows.includes(i) ? 3 : token)));
      expect(new Set(rows).size).toBe(3);
    });
    expect(new Set(windows.map(({ rows }) => `${rows}`)).size).toBeGreaterThan(1);
  });

  it('needs a mask token', async () => {
    const roberta = await MemoryModel.of(join(FIXTURES, 'roberta'));
    expect(await refusalOf(() => run(roberta, { tokens, window: 20 }))).toMatch(/mask token/);
  });
});

describe('what cannot be evaluated is refused in one line', () => {
  const tokens = Array.from({ length: 40 }, (_, i) => i);
  const cases: [string, Options, RegExp][] = [
    [
      'text shorter than a window',
      { tokens: tokens.slice(0, 31) },
      /has 31 tokens, fewer than one window of 32/,
    ],
    ['fewer tokens than a window', { tokens, maxTokens: 20 }, /has 20 tokens, fewer than one window of 32/],
    ['a window beyond the context', { tokens, window: 33 }, /window of 2 to 32 tokens, found 33/],
    ['a window that predicts nothing', { tokens, window: 1 }, /window of 2 to 32 tokens, found 1/],
    ['token ids out of range', { tokens: [...tokens, 97] }, /token 40: expected an id below 97, found 97/],
    [
      'the second half of two tokens',
      { tokens, window: 2, secondHalf: true },
      /window of 2 tokens has no second/,
    ],
    ['negative token ids', { tokens: [-1, ...tokens] }, /token 0: expected an id below 97, found -1/],
    ['text without a tokenizer', { text: 'Some text.' }, /model: has no tokenizer/],
  ];
  it.each(cases)('%s', async (_, options, expected) => {
    const gpt2 = await MemoryModel.of(join(FIXTURES, 'gpt2'));
    expect(await refusalOf(() => run(gpt2, options))).toMatch(expected);
  });

  it('models that do not go together', async () => {
    const gpt2 = await MemoryModel.of(join(FIXTURES, 'gpt2'));
    const roberta = await MemoryModel.of(join(FIXTURES, 'roberta'));
    expect(await refusalOf(() => run(gpt2, { tokens }, roberta))).toMatch(
      /cannot compare a causal model with a masked one/,
    );
    const other = await MemoryModel.of(TINY);
    expect(await refusalOf(() => run(gpt2, { tokens }, other))).toMatch(/vocabulary of 97.*, 4096/);
  });

  it('a model without a config', async () => {
    const bare = await MemoryModel.of(join(FIXTURES, 'gpt2'));
    Object.assign(bare, { config: undefined });
    expect(await refusalOf(() => run(bare, { tokens }))).toMatch(/has no config.json/);
  });
});

describe('statistics', () => {
  it('standard errors are over windows', () => {
    // Window means 2, 4 and 9: mean 5, sample variance 13.
    const { mean, standardError } = estimate(Float64Array.from([1, 3, 4, 4, 8, 10]), 3);
    expect(mean).toBe(5);
    expect(standardError).toBeCloseTo(Math.sqrt(13 / 3), 12);
    expect(estimate(Float64Array.from([1, 3]), 1)).toEqual({ mean: 2, standardError: null });
  });

  it('quantiles are interpolated', () => {
    const sorted = Float64Array.from([0, 10, 20, 30]);
    expect([0, 0.5, 0.9, 1].map((share) => quantile(sorted, share))).toEqual([0, 15, 27, 30]);
  });
});
