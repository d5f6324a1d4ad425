import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { evaluate, type Model, open } from '../src/index.js';
import type { StoredModel } from '../src/models/stored-model.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { collectStatistics } from '../src/quantization/calibration/collect.js';
import { MemoryStatistics } from '../src/quantization/calibration/memory-statistics.js';
import { Candidate } from '../src/quantization/candidate.js';
import { encodeModel } from '../src/quantization/encoder.js';
import { findExactTensors } from '../src/quantization/exact-tensors.js';
import { IndexStore } from '../src/quantization/index-store.js';
import { ThreadPasses } from '../src/quantization/matrix-passes.js';
import { ModelQuantizer } from '../src/quantization/model-quantizer.js';
import { planTensors, quantizedTensors } from '../src/quantization/plan.js';
import { startQuantization } from '../src/quantization/threads.js';
import { describeFiles } from '../src/wpk/node/manifest.js';
import { complaint, weightpress } from './helpers/cli.js';
import { FIXTURES } from './helpers/fixtures.js';
import { leftovers } from './helpers/leftovers.js';
import { folder, safetensors, seededRandom } from './helpers/safetensors.js';

const nodeRuntime = await loadRuntime();

const MODEL = 'examples/gpt-neo-tiny';
const place = folder({});
const at = (name: string) => join(place, name);
const statistics = at('statistics');
const CALIBRATION = ['--calibration-tokens', '8192', '--statistics', statistics];

const compress = (output: string, ...options: string[]) =>
  weightpress('compress', MODEL, '-o', at(output), '--json', '-f', ...CALIBRATION, ...options);
const report = (run: ReturnType<typeof weightpress>) => {
  expect(run.stderr).toBe('');
  return JSON.parse(run.stdout);
};

/** What a command says of input that it refuses. */
function refusal(run: ReturnType<typeof weightpress>): string {
  const { status, lines, stack, message } = complaint(run);
  expect({ status, lines, stack }).toEqual({ status: 2, lines: 1, stack: false });
  return message;
}

describe('a lossy file', () => {
  let small: ReturnType<typeof report>;
  beforeAll(() => {
    small = report(compress('small.wpk', '--bits', '3'));
  }, 120_000);

  test('has the bits per weight that were asked for, all bytes counted', () => {
    expect(small.fileBytes).toBe(statSync(at('small.wpk')).size);
    const bits = (small.fileBytesWithoutSideFiles * 8) / 1_348_864;
    expect(bits).toBeLessThanOrEqual(3);
    expect(bits).toBeGreaterThan(3 * 0.995);
  });

  test('is sound, and states its measured quality', () => {
    const verified = JSON.parse(weightpress('verify', at('small.wpk'), '--against', MODEL, '--json').stdout);
    expect(verified).toMatchObject({ good: true, bitExact: false });
    expect(verified.error.relativeSquaredError).toBeGreaterThan(0.001);
    expect(verified.error.relativeSquaredError).toBeLessThan(0.5);
    expect(small.quality.kl.mean).toBeGreaterThan(0.001);
    expect(small.quality.kl.mean).toBeLessThan(0.05);
    expect(small.quality.text.name).toMatch(/^held out of/);
    expect(weightpress('inspect', at('small.wpk')).stdout).toMatch(/"kl"/);
  });

  test('becomes a folder that behaves just as the file does', { tags: 'slow' }, async () => {
    expect(weightpress('decompress', at('small.wpk'), '-o', at('restored')).status).toBe(0);
    const text = readFileSync('examples/held-out.txt', 'utf8');
    const original = await open(MODEL);
    const results = [];
    for (const path of [at('small.wpk'), at('restored')]) {
      const model = await open(path);
      const { kl, perplexity } = await evaluate(model, { text, against: original, maxTokens: 2048 });
      results.push({ kl: kl!.mean, perplexity });
      await model.close();
    }
    await original.close();
    expect(results[1]).toEqual(results[0]);
    expect(results[0]!.kl).toBeLessThan(0.05);
    for (const name of ['config.json', 'tokenizer.json', 'README.md'])
      expect(readFileSync(join(at('restored'), name))).toEqual(readFileSync(join(MODEL, name)));
  });

  test('is the same with any number of threads', { tags: 'slow' }, () => {
    for (const threads of ['1', '2']) report(compress(`${threads}.wpk`, '--bits', '3', '--threads', threads));
    expect(readFileSync(at('1.wpk'))).toEqual(readFileSync(at('2.wpk')));
    expect(readFileSync(at('1.wpk'))).toEqual(readFileSync(at('small.wpk')));
  });

  test('meets a divergence as measured, a size and a ratio within half a percent, never above', {
    tags: 'slow',
  }, () => {
    const { quality } = report(compress('kl.wpk', '--kl', '0.02'));
    expect(quality.kl.mean).toBeLessThanOrEqual(0.02);
    expect(quality.kl.mean).toBeGreaterThan(0.02 * 0.98);
    const sized = report(compress('size.wpk', '--size', '600kB')).fileBytes;
    expect(sized).toBeLessThanOrEqual(600_000);
    expect(sized).toBeGreaterThan(597_000);
    const { fileBytes, originalBytes } = report(compress('ratio.wpk', '--ratio', '20'));
    expect(originalBytes / fileBytes).toBeGreaterThanOrEqual(20);
    expect(originalBytes / fileBytes).toBeLessThan(20.11);
  });

  test('is calibrated once for many budgets, from a file of statistics that is only read', {
    tags: 'slow',
  }, () => {
    const before = statSync(statistics);
    report(compress('again.wpk', '--bits', '2'));
    const { mtimeMs, size } = statSync(statistics);
    expect({ mtimeMs, size }).toEqual({ mtimeMs: before.mtimeMs, size: before.size });
    const other = ['--bits', '2', '--statistics', statistics, '--calibration-tokens', '4096'];
    expect(refusal(weightpress('compress', MODEL, '-o', at('other.wpk'), ...other))).toMatch(
      /statistics of another number of tokens/,
    );
  });

  test('loses more without calibration, and says that it measured nothing', { tags: 'slow' }, async () => {
    const run = weightpress(
      'compress',
      MODEL,
      '-o',
      at('plain.wpk'),
      '--bits',
      '3',
      '--no-calibration',
      '-f',
    );
    expect(run.stdout).toMatch(/quality: not measured/);
    const text = readFileSync('examples/held-out.txt', 'utf8');
    const original = await open(MODEL);
    const [plain, calibrated] = await Promise.all(
      ['plain.wpk', 'small.wpk'].map(async (name) => {
        const model = await open(at(name));
        const { kl } = await evaluate(model, { text, against: original, maxTokens: 2048 });
        await model.close();
        return kl!.mean;
      }),
    );
    await original.close();
    expect(plain! / calibrated!).toBeGreaterThan(3);
  });

  test('loses little at many bits: no weight lies beyond the last index', { tags: 'slow' }, () => {
    const large = report(compress('large.wpk', '--bits', '5.5'));
    expect(large.quality.kl.mean).toBeLessThan(small.quality.kl.mean / 15);
  });

  test('may be tuned at the end, to no more than its budget', { tags: 'slow' }, () => {
    const tuned = report(compress('tuned.wpk', '--bits', '1.6', '--tune'));
    const plain = report(compress('untuned.wpk', '--bits', '1.6'));
    expect((tuned.fileBytesWithoutSideFiles * 8) / 1_348_864).toBeLessThanOrEqual(1.6);
    expect(tuned.quality.kl.mean).toBeLessThan(plain.quality.kl.mean);
  });

  test('leaves no other files', () => {
    expect(existsSync(`${at('small.wpk')}.statistics`)).toBe(false);
    expect(leftovers(at('small.wpk'))).toEqual([]);
  });
});

describe('every architecture', () => {
  test.each(['gpt_neo', 'gpt2', 'roberta', 'llama', 'qwen2', 'gpt_neox'])(
    '%s: half the step is a quarter of the divergence, and calibration pays',
    { tags: 'slow' },
    async (name) => {
      const random = seededRandom(3);
      const tokens = (count: number) => Array.from({ length: count }, () => 5 + Math.floor(random() * 90));
      const model = await open(join(FIXTURES, name));
      const windows = Array.from({ length: 60 }, () => Int32Array.from(tokens(24)));
      const rows = Array.from({ length: 24 }, (_, i) => i);
      const statistics = new MemoryStatistics(0);
      const given = windows.map((input) => ({ input, rows }));
      await collectStatistics(nodeRuntime, model, given, statistics);
      const measured = tokens(24 * 20);
      const at = async (step: number, found?: MemoryStatistics) => {
        const { bytes, path } = await pressed(model, name, step, found);
        const compressed = await open(path);
        const { kl } = await evaluate(compressed, {
          tokens: measured,
          window: 24,
          against: model,
          maskToken: 4,
        });
        await compressed.close();
        return { bytes, kl: kl!.mean };
      };
      const coarse = await at(2e-3, statistics);
      const fine = await at(1e-3, statistics);
      expect(coarse.kl / fine.kl).toBeGreaterThan(2);
      expect(coarse.kl / fine.kl).toBeLessThan(6);
      expect(coarse.bytes).toBeLessThan(fine.bytes);
      // weights alone, at a step that gives a file at least as large
      let plain = await at(0.5);
      for (let step = 0.25; plain.bytes < fine.bytes; step /= 1.5) plain = await at(step);
      expect(plain.kl).toBeGreaterThan(fine.kl);
      await model.close();
    },
  );
});

/** A model quantized with one step, twice so that prices are learned; no search. */
async function pressed(model: Model, name: string, step: number, statistics: MemoryStatistics | undefined) {
  const path = at(`${name}.wpk`);
  const stored = model as StoredModel;
  const manifest = await describeFiles(stored, {});
  const unique = model.tensors.filter((_, i) => manifest.tensors[i]!.sameAs === undefined);
  const planned = planTensors(unique, await findExactTensors(model));
  const [indices, threads] = [await IndexStore.create(at('indices')), startQuantization(1)];
  const quantizer = new ModelQuantizer(
    quantizedTensors(planned),
    new ThreadPasses(model, statistics, indices, threads),
  );
  const candidate = new Candidate(path, stored, manifest, { force: true, threads: 1 });
  await quantizer.quantize(step);
  const quantized = await quantizer.quantize(step);
  await candidate.write(quantized.tables, encodeModel(model, planned, quantized));
  const bytes = await candidate.finish(undefined);
  await Promise.all([threads.close(), indices.close()]);
  return { bytes, path };
}

describe('a lossy compression is refused in one line', () => {
  const short = at('short.txt');
  writeFileSync(short, 'Too short a text to learn from. '.repeat(20));

  test.each([
    [['--bits', '3', '--kl', '0.1'], /expected one budget .*found kl and bits/],
    [['--bits', '0'], /expected --bits to be a positive number/],
    [['--kl', 'small'], /expected --kl to be a positive number, found "small"/],
    [['--size', '3 apples'], /expected a size such as 400MB/],
    [['--calibrate', short], /--calibrate needs a budget/],
    [['--no-calibration'], /--no-calibration needs a budget/],
    [['--bits', '3', '--codec', 'dct', '--resume'], /a transform cannot be resumed/],
    [['--bits', '3', '--no-calibration', '--calibrate', short], /--no-calibration contradicts --calibrate/],
    [
      ['--kl', '0.1', '--no-calibration'],
      /a budget of kl needs a text to measure it on; --calibrate names one/,
    ],
    [['--bits', '3', '--calibrate', short], /has \d+ tokens, expected at least 4096/],
    [['--bits', '3', '--calibrate', at('none.txt')], /no such file/],
    [['--size', '20kB', '--no-calibration'], /cannot be met; the nearest that can is \d/],
  ] as const)('%s', (options, message) => {
    expect(refusal(weightpress('compress', MODEL, '-o', at('no.wpk'), ...options))).toMatch(message);
    expect(existsSync(at('no.wpk'))).toBe(false);
    expect(leftovers(at('no.wpk'))).toEqual([]);
  });
});

test('NaN among the weights is kept, with the tensor named', { tags: 'slow' }, () => {
  const random = seededRandom(2);
  const weights = Float32Array.from({ length: 64 * 64 }, () => random() - 0.5);
  const broken = weights.slice();
  broken[77] = Number.NaN;
  const path = at('nan.safetensors');
  writeFileSync(
    path,
    safetensors(
      Object.entries({ linear: broken, other: weights }).map(([name, { buffer }]) => ({
        name,
        dtype: 'F32',
        shape: [64, 64],
        data: new Uint8Array(buffer as ArrayBuffer),
      })),
    ),
  );
  const run = weightpress('compress', path, '-o', at('nan.wpk'), '--ratio', '1.5', '--no-calibration');
  expect(run.stdout).toMatch(/stored exactly: 1 tensor \(not finite: linear\)/);
});
