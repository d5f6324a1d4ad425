// Budgets are upper limits: a loose one gives the lossless or the best smaller file, an impossible one is refused before anything is calibrated.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { open, verify } from '../src/index.js';
import { compress } from '../src/operations/compress.js';
import { inspect } from '../src/operations/inspect.js';
import type { Budget } from '../src/quantization/rate-control/budget.js';
import { isLossless } from '../src/wpk/summary.js';
import { weightpress } from './helpers/cli.js';
import { leftovers } from './helpers/leftovers.js';
import { refusalOf } from './helpers/logits.js';
import { f32, folder, safetensors, seededRandom } from './helpers/safetensors.js';

const MODEL = 'examples/gpt-neo-tiny';
const place = folder();
const TEXT = readFileSync('assets/calibration.txt', 'utf8').slice(0, 60_000);
let files = 0;

/** One matrix whose floats use all of their bits. */
function randomModel(): string {
  const random = seededRandom(5);
  const values = Float32Array.from({ length: 512 * 256 }, () => random() - 0.5);
  return folder({ 'model.safetensors': safetensors([f32('w', [512, 256], values)]) });
}

/** Compresses the example and says what came out, and which stages there were. */
async function compressed(budget: Budget, from = MODEL, calibrated = true) {
  const output = join(place, `${files++}.wpk`);
  const stages = new Set<string>();
  const model = await open(from);
  try {
    const { note } = await compress(model, output, {
      budget,
      calibration: calibrated && {
        text: TEXT,
        name: 'text',
        tokens: 4096,
        statisticsPath: join(place, 'statistics'),
      },
      onProgress: ({ stage }) => stages.add(stage),
    });
    const bytes = statSync(output).size;
    return { output, note, bytes, summary: await inspect(output), stages };
  } finally {
    await model.close();
    for (const rest of ['.partial', '.scratch']) expect(existsSync(`${output}${rest}`)).toBe(false);
  }
}

describe('a loose budget', () => {
  it.each([{ bits: 40 }, { ratio: 1.01 }, { size: 10_000_000 }])(
    'of %o gives the lossless file, without calibration, and says so',
    async (budget) => {
      const { output, note, summary, stages } = await compressed(budget);
      expect(isLossless(summary.tensors)).toBe(true);
      expect(note).toMatch(/^the budget of \d+ bytes is enough for a lossless file$/);
      expect([...stages]).toEqual(['compressing']);
      const original = await open(MODEL);
      expect(await verify(output, { against: original })).toMatchObject({ good: true, bitExact: true });
      await original.close();
    },
    60_000,
  );

  it('too small for a lossless file gives the best smaller one, with a note', async () => {
    const { bytes, note, summary } = await compressed({ bits: 20 }, randomModel(), false);
    expect(bytes).toBeLessThan((20 / 8) * 512 * 256);
    expect(summary.tensors[0]!.codec).toBe('trellis');
    expect(summary.tensors[0]!.error).toBeLessThan(1e-5);
    expect(note).toMatch(/^the budget allows \d+ bytes; the best file found below it has \d+$/);
  }, 120_000);

  it('of divergence gives the smallest file that the codec makes, without calibration', async () => {
    const { note, summary, bytes, stages } = await compressed({ kl: 100 });
    expect([...stages]).toEqual(['measuring zeros']);
    expect((summary.quality as { kl: { mean: number } }).kl.mean).toBeLessThan(100);
    expect(note).toMatch(/^the budget allows 100 nats per token; the smallest file found below it/);
    const refusal = await refusalOf(() => compressed({ size: Math.floor(bytes * 0.8) }));
    const nearest = Number(/nearest that can is (\d+) bytes/.exec(refusal)![1]);
    expect(bytes / nearest).toBeLessThan(1.02); // it has its quality too
  });

  it('of divergence below that of every lossy file gives the lossless one', { tags: 'slow' }, async () => {
    const { summary, note } = await compressed({ kl: 1e-13 });
    expect(isLossless(summary.tensors)).toBe(true);
    expect((summary.quality as { kl: { mean: number } }).kl.mean).toBe(0);
    expect(note).toMatch(/the file is lossless$/);
  });

  it('is told by the command, too', () => {
    const output = join(place, 'cli.wpk');
    const { stdout, status } = weightpress('compress', MODEL, '-o', output, '--bits', '40');
    expect(status).toBe(0);
    expect(stdout).toMatch(/is enough for a lossless file\n/);
    expect(stdout).toMatch(/\nlossless; /);
    expect(stdout).not.toMatch(/relative squared error|quality/);
  }, 60_000);
});

describe('an impossible budget', () => {
  it.each([{ bits: 0.01 }, { size: 5000 }, { ratio: 853 }])(
    '%o is refused with the nearest that is possible, before calibration begins',
    async (budget) => {
      const model = await open(MODEL);
      const stages: string[] = [];
      const refusal = await refusalOf(() =>
        compress(model, join(place, 'no.wpk'), {
          budget,
          calibration: { text: TEXT, name: 'text', tokens: 4096 },
          onProgress: ({ stage }) => stages.push(stage),
        }),
      );
      expect(refusal).toMatch(/^the budget of \d+ bytes cannot be met; the nearest that can is \d+ bytes/);
      expect(stages).toEqual([]);
      for (const rest of ['', '.partial', '.scratch', '.statistics'])
        expect(existsSync(join(place, `no.wpk${rest}`))).toBe(false);
      await model.close();
    },
  );
});

describe('an aborted compression', () => {
  const abort = async (where: string, calibrated: boolean) => {
    const model = await open(MODEL);
    const output = join(place, `aborted-${files++}.wpk`);
    const stop = new AbortController();
    const calibration = { text: TEXT, name: 'text', tokens: 4096 };
    const compression = compress(model, output, {
      budget: { bits: 4 },
      calibration: calibrated && calibration,
      signal: stop.signal,
      onProgress: ({ stage }) => {
        if (stage === where) stop.abort(new Error(`stopped while ${stage}`));
      },
    });
    await expect(compression).rejects.toThrow(`stopped while ${where}`);
    expect(existsSync(output)).toBe(false);
    expect(leftovers(output)).toEqual([]);
    await model.close();
  };
  const name = 'while %s rejects with the reason, and leaves nothing';
  it.each<[string, boolean]>([
    ['calibrating', true],
    ['quantizing, pass 1', false],
  ])(name, abort);
  it.each<[string, boolean]>([['measuring', true]])(name, { tags: 'slow' }, abort);
});

describe('a transform', () => {
  it.each([
    [{ bits: 40 }, 'lossless', /enough for a lossless file/],
    [{ bits: 26 }, 'transform', /best file found below it/],
  ] as const)(
    'with a budget of %o is %s',
    async (budget, codec, said) => {
      const model = await open(randomModel());
      const output = join(place, `${files++}.wpk`);
      const { note } = await compress(model, output, {
        codec: { transform: 'hadamard' },
        budget,
        calibration: false,
      });
      await model.close();
      const summary = await inspect(output);
      expect(new Set(summary.tensors.map((tensor) => tensor.codec))).toContain(codec);
      expect(isLossless(summary.tensors)).toBe(codec === 'lossless');
      expect(note).toMatch(said);
      expect((summary.fileBytesWithoutSideFiles * 8) / summary.weights).toBeLessThanOrEqual(budget.bits);
    },
    60_000,
  );
});
