import { createHash } from 'node:crypto';
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { CONTEXTS } from '../src/codecs/trellis/levels.js';
import { INDICES } from '../src/codecs/trellis/tokens.js';
import type { Evaluation } from '../src/evaluation/evaluate.js';
import { compress } from '../src/index.js';
import type { CompressionPlan } from '../src/quantization/plan.js';
import { decodeLine, encodeLine } from '../src/quantization/resume/entries.js';
import { ResumableCandidates } from '../src/quantization/resume/resumable-candidates.js';
import { TrialLog } from '../src/quantization/resume/trial-log.js';
import { searchCandidate } from '../src/quantization/search.js';
import { killedAfter, weightpress } from './helpers/cli.js';
import { deadName, leftovers } from './helpers/leftovers.js';
import { Running } from './helpers/processes.js';
import { seededRandom } from './helpers/safetensors.js';

const folder = mkdtempSync(join(tmpdir(), 'weightpress-lossy-resume-'));
const output = join(folder, 'x.wpk');
beforeEach(() => {
  for (const name of readdirSync(folder)) rmSync(join(folder, name));
});
afterAll(() => rmSync(folder, { recursive: true }));

const COUNTS = new Float64Array(CONTEXTS * 2 * INDICES);
for (let i = 0; i < COUNTS.length; i += 97) COUNTS[i] = 100;

class Killed extends Error {}

/** A file on disk: what it was written from, which survives the process. */
interface Disk {
  file: string;
}

/**
 * A pipeline and its candidate. Every pass depends on what all earlier passes have taught, as prices do, and a file on all that wrote
 * it. The process ends before the operation number `killedAt`.
 */
class Synthetic {
  readonly live: string[] = [];
  private learned = 1;
  private indices: string | undefined;
  private isHere = false;

  constructor(
    private readonly disk: Disk,
    readonly canTune: boolean,
    private readonly killedAt = Number.POSITIVE_INFINITY,
  ) {}

  // the candidate
  get written() {
    return { sha256: this.disk.file, hasTables: false, tensors: [] };
  }
  async restore({ sha256 }: { readonly sha256: string }) {
    this.isHere = this.disk.file === sha256;
    return this.isHere;
  }
  keep() {}

  // the pipeline
  async write(step: number) {
    this.begin('write');
    const passes = [this.pass(step), this.pass(step)];
    this.indices = `${step} ${this.learned}`;
    this.put(this.indices);
    return { step, counts: passes[1]!, passes };
  }
  recall(_: number, passes: readonly Float64Array[]) {
    for (const counts of passes) this.learn(counts);
  }
  async sample(step: number) {
    this.begin('sample');
    const counts = this.pass(step);
    return { step, bits: 8e6 * step ** -0.3, weights: 1e6, counts };
  }
  recallSample({ counts }: { readonly counts: Float64Array }) {
    this.learn(counts);
  }
  async size() {
    this.begin('size');
    return this.fileBytes();
  }
  async measure() {
    this.begin('measure');
    return { kl: { mean: this.kl() } } as Evaluation;
  }
  async tune() {
    this.begin('tune');
    expect(this.indices).toBeDefined();
    this.put(`${this.disk.file} tuned`);
  }
  async untune() {
    this.begin('untune');
    this.put(this.indices!);
  }
  async writeLossless() {
    this.begin('writeLossless');
    this.put('0 1');
  }
  async finish(quality: Evaluation | undefined) {
    this.begin('finish');
    expect(quality?.kl?.mean).toBe(this.kl());
    return this.fileBytes();
  }

  private begin(name: string) {
    if (this.live.length === this.killedAt) {
      // a file that is being written when the process ends is lost
      if (['write', 'tune', 'untune', 'writeLossless'].includes(name)) this.disk.file = 'torn';
      throw new Killed();
    }
    this.live.push(name);
    if (['size', 'measure', 'tune', 'finish'].includes(name)) expect(this.isHere, name).toBe(true);
  }
  private put(file: string) {
    [this.disk.file, this.isHere] = [file, true];
  }
  private pass(step: number) {
    const counts = COUNTS.slice();
    counts[7] = Math.round(1e6 * this.learned * step);
    this.learn(counts);
    return counts;
  }
  private learn(counts: Float64Array) {
    this.learned = 1 + ((this.learned * 7919 + counts[7]! * 104729) % 1000) / 1e6;
  }
  private kl() {
    const [step, learned] = this.disk.file.split(' ').map(Number);
    return (step! ** 2 * learned!) / (this.disk.file.endsWith('tuned') ? 1.2 : 1);
  }
  private fileBytes() {
    const [step, learned] = this.disk.file.split(' ').map(Number);
    return (
      Math.round(1e6 * Math.max(step!, 1e-9) ** -0.3 * learned!) + (this.disk.file.endsWith('tuned') ? 3 : 0)
    );
  }
}

async function search(log: TrialLog, synthetic: Synthetic, plan: Partial<CompressionPlan>) {
  const candidates = new ResumableCandidates(synthetic as never, synthetic as never, log);
  const { quality } = await searchCandidate({ firstStep: 1, tensors: [], ...plan } as never, candidates);
  return candidates.finish(quality);
}

describe('a search that is interrupted before any of its operations', () => {
  const goal = { limit: 1e9, originalBytes: 2e7, reportBytes: 900 };
  const nats = { ...goal, kind: 'kl', min: 0.0098, max: 0.01 } as const;
  const bytes = { ...goal, kind: 'bytes', min: 9.95e5, max: 1e6 } as const;
  const none = { ...goal, kind: 'kl', min: 0.98e-19, max: 1e-19 } as const;
  test.each([
    ['for a divergence', { goal: nats }, false],
    ['for a divergence, with tuning', { goal: nats }, true],
    ['for a size', { goal: bytes }, false],
    ['for a size, with samples', { goal: bytes, samplesRate: true, quantizedWeights: 1e6 }, false],
    ['for a size, with tuning', { goal: bytes }, true],
    ['that ends lossless', { goal: none }, false],
  ] as const)(
    '%s, repeats nothing that was finished, and makes the same file',
    { tags: 'slow' },
    async (_, plan, canTune) => {
      const whole: Disk = { file: '' };
      const undisturbed = new Synthetic(whole, canTune);
      const log = TrialLog.create(output, 'a');
      const size = await search(log, undisturbed, plan);
      await log.discard();
      expect(undisturbed.live.length).toBeGreaterThan(4);
      const last = undisturbed.live.length - 1;
      for (const n of new Set([1, 2, 3, 4, last - 2, last - 1, last]))
        for (const isFileLost of n % 2 ? [false, true] : [false]) {
          const disk: Disk = { file: '' };
          const first = await TrialLog.resume(output, 'a');
          await expect(search(first, new Synthetic(disk, canTune, n), plan)).rejects.toThrow(Killed);
          await first.leave();
          if (isFileLost) disk.file = 'lost';
          const second = await TrialLog.resume(output, 'a');
          expect(second.hasRecorded).toBe(true);
          const resumed = new Synthetic(disk, canTune);
          expect(await search(second, resumed, plan)).toBe(size);
          expect(disk).toEqual(whole);
          await second.discard();
          const rest = undisturbed.live.slice(n);
          // at most the last trial is written again, where the next operation needs its file or its indices
          expect(resumed.live.slice(-rest.length)).toEqual(rest);
          const repeated = resumed.live.slice(0, -rest.length).join();
          expect(
            isFileLost || canTune ? ['', 'write', 'write,tune', 'write,tune,untune', 'writeLossless'] : [''],
          ).toContain(repeated);
          expect(readdirSync(folder)).toEqual([]);
        }
    },
  );
});

describe('the record of trials', () => {
  const size = { kind: 'size', bytes: 5 } as const;
  const open = (identity = 'a') => TrialLog.resume(output, identity);
  const path = () => leftovers(output)[0]!;

  async function leave() {
    const log = TrialLog.create(output, 'a');
    await log.add(size);
    await log.add({
      kind: 'measure',
      quality: { kl: { mean: Number.POSITIVE_INFINITY }, nll: Number.NaN } as never,
    });
    return log.leave();
  }

  test('returns numbers exactly, infinite ones too', async () => {
    await leave();
    const log = await open();
    expect(log.recall('size')?.bytes).toBe(5);
    expect(log.recall('measure')?.quality).toEqual({
      kl: { mean: Number.POSITIVE_INFINITY },
      nll: Number.NaN,
    });
    await log.discard();
  });

  test.each([
    ['torn', (bytes: Buffer) => bytes.subarray(0, -3)],
    [
      'damaged',
      (bytes: Buffer) => Buffer.from(bytes.map((byte, i) => (i === bytes.length - 9 ? byte ^ 1 : byte))),
    ],
    ['followed by garbage', (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -1), Buffer.alloc(9, 0xa5)])],
  ])('that is %s counts up to there, and goes on from there', async (_, damage) => {
    await leave();
    writeFileSync(path(), damage(readFileSync(path())));
    const log = await open();
    expect(log.recall('size')).toEqual(size);
    expect(log.recall('measure')).toBeUndefined();
    await log.add({ ...size, bytes: 6 });
    await log.leave();
    const again = await open();
    expect([again.recall('size')?.bytes, again.recall('size')?.bytes]).toEqual([5, 6]);
    expect(again.hasRecorded).toBe(false);
    await again.discard();
  });

  test('without a whole first line is as good as none', async () => {
    await leave();
    writeFileSync(path(), '');
    const log = await open();
    expect(log.hasRecorded).toBe(false);
    await log.add(size);
    await log.leave();
    const again = await open();
    expect(again.hasRecorded).toBe(true);
    await again.discard();
  });

  test('is not continued after an operation that it does not have next', async () => {
    await leave();
    const log = await open();
    expect(log.recall('write', 1)).toBeUndefined();
    expect(log.recall('size')).toBeUndefined();
    await log.discard();
  });

  test('of another run is refused, and stays', async () => {
    await leave();
    await expect(open('b')).rejects.toMatchObject({ code: 'resume-differs' });
    const log = await open();
    expect(log.recall('size')).toEqual(size);
    await log.discard();
  });
});

describe('compress to a budget, stopped', () => {
  const model = 'fixtures/architectures/gpt2';
  const command = ['compress', model, '-o', output, '--bits', '3.3', '--no-calibration'];
  const trials = () => leftovers(output).find((path) => path.endsWith('.trials'));
  const hasTrials = () => statSync(trials() ?? '', { throwIfNoEntry: false })?.size;

  test('by control-C says how to continue, and continuing gives the same file and leaves nothing', {
    tags: 'slow',
  }, async () => {
    const compressed = (bits: number, resume: boolean) =>
      compress(model, output, { budget: { bits }, calibration: false, resume });
    await compressed(3.3, false);
    const whole = readFileSync(output);
    rmSync(output);
    const { status, stderr } = await new Running(command).endWhen(() => !!hasTrials(), 'SIGINT');
    expect(status).toBe(130);
    const left = leftovers(output);
    expect(left.map((path) => path.split('.').at(-1))).toContain('trials');
    expect(left.every((path) => /\.(trials|partial)$/.test(path))).toBe(true);
    expect(stderr).toContain('interrupted; to continue, run the same command with --resume, which needs ');
    for (const path of left) expect(stderr).toContain(path);

    await expect(compressed(3.2, true)).rejects.toMatchObject({ code: 'resume-differs' });
    for (const path of left) copyFileSync(path, deadName(output, path.split('.').at(-1))); // of one more run
    expect(weightpress(...command, '--resume')).toMatchObject({ status: 0, stderr: '' });
    expect(readFileSync(output).equals(whole)).toBe(true);
    expect(leftovers(output)).toEqual([]);
  });

  test('by kill -9 at random moments: calibration and trials are continued until the same file is there', {
    tags: 'slow',
  }, async () => {
    const calibrated = ['compress', 'examples/gpt-neo-tiny', '-o', output, '--kl', '0.05'].concat([
      '--calibration-tokens',
      '4096',
      '--resume',
    ]);
    expect(weightpress(...calibrated).status).toBe(0);
    const whole = createHash('sha256').update(readFileSync(output)).digest('hex');
    rmSync(output);
    const random = seededRandom(3);
    let kills = 0;
    // longer each time, so that it ends on a slow machine too
    while (await killedAfter(1000 + 400 * kills + random() * 1000, ...calibrated)) kills++;
    expect(kills).toBeGreaterThan(1);
    expect(createHash('sha256').update(readFileSync(output)).digest('hex')).toBe(whole);
    if (leftovers(output).length) expect(weightpress(...calibrated, '--force').status).toBe(0); // killed when it had its name
    expect(leftovers(output)).toEqual([]);
  });
});

test('a line of any length is read back, and a damaged one is not', () => {
  const entry = { kind: 'size', bytes: 7, names: 'x'.repeat(3 << 20) };
  const line = new TextDecoder().decode(encodeLine(entry)).slice(0, -1);
  expect(decodeLine(line)).toEqual(entry);
  expect(decodeLine(line.replace('xx', 'xy'))).toBeUndefined();
});
