import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { shapedModel } from '../bench/synthetic/shaped-model.js';
import { printMachinesPlan } from '../src/cli/machines-plan.js';
import type { Model } from '../src/core/model.js';
import { randomNumbers } from '../src/core/random.js';
import { open } from '../src/index.js';
import { planMachines } from '../src/machines/plan/estimate.js';
import { RATES } from '../src/machines/plan/rates.js';
import { type SimulatedStage, secondsAlone, simulate, type Work } from '../src/machines/plan/simulate.js';
import { FAMILIES, FIXTURES, RUNNABLE, TINY } from './helpers/fixtures.js';

const NET = { linkBytesPerSecond: 100, storeBytesPerSecond: 300 };
const work = (seconds: number, readBytes = 0, writtenBytes = 0): Work => ({
  seconds,
  readBytes,
  writtenBytes,
});
const stage = (...jobs: Work[]): SimulatedStage => ({ name: 'stage', jobs });
const time = (stages: readonly SimulatedStage[], workers: number, network = NET) =>
  simulate(stages, { ...network, workers });

/** Returns the time that a run takes at least, and at most if the store never limits it. */
function boundsOf(stages: readonly SimulatedStage[], workers: number) {
  const total = (values: number[]) => values.reduce((sum, value) => sum + value, 0);
  const bounds = stages.map(({ before, jobs }) => {
    const alone = jobs.map((job) => secondsAlone(job, NET));
    const bytes = total(jobs.map((job) => job.readBytes + job.writtenBytes));
    const longest = Math.max(0, ...alone);
    const parent = before ? secondsAlone(before, NET) : 0;
    return {
      least: parent + Math.max(longest, total(alone) / workers, bytes / NET.storeBytesPerSecond),
      most: parent + total(alone) / workers + longest,
    };
  });
  return { least: total(bounds.map(({ least }) => least)), most: total(bounds.map(({ most }) => most)) };
}

describe('a simulated run', () => {
  it('takes as long as its jobs one after another on one worker, and as the longest on many', () => {
    const stages = [stage(work(3), work(1), work(2))];
    expect(time(stages, 1).seconds).toBe(6);
    expect(time(stages, 2).seconds).toBe(3);
    expect(time(stages, 9).seconds).toBe(3);
  });

  it('takes the longest job first', () => {
    expect(time([stage(work(1), work(1), work(1), work(3))], 2).seconds).toBe(3);
  });

  it('reads, computes and writes in turn', () => {
    expect(time([stage(work(2, 50, 100))], 4)).toMatchObject({
      seconds: 0.5 + 2 + 1,
      readBytes: 50,
      writtenBytes: 100,
      peakBytesPerSecond: 100,
      utilization: 2 / 3.5 / 4,
    });
  });

  it('shares the bandwidth of the store equally, each up to its link', () => {
    expect(time([stage(...Array(2).fill(work(0, 100)))], 6).seconds).toBe(1);
    expect(time([stage(...Array(6).fill(work(0, 100)))], 6).seconds).toBe(2);
    // three share 300 until the shorter two have moved 100, then one has its link to itself
    const uneven = time([stage(work(0, 200), work(0, 100), work(0, 100))], 3, {
      linkBytesPerSecond: 150,
      storeBytesPerSecond: 300,
    });
    expect(uneven.seconds).toBeCloseTo(1 + 100 / 150, 12);
  });

  it('waits for all jobs of a stage, and for the parent, before the next', () => {
    const stages: SimulatedStage[] = [
      { name: 'a', before: work(1, 0, 100), jobs: [work(4), work(1)], after: work(2) },
      { name: 'b', jobs: [work(3)] },
    ];
    const { seconds, stages: times } = time(stages, 2);
    expect(seconds).toBe(2 + 4 + 2 + 3);
    expect(times.map((each) => [each.name, each.seconds, each.parentSeconds])).toEqual([
      ['a', 8, 4],
      ['b', 3, 0],
    ]);
    expect(times[0]).toMatchObject({ longestJobSeconds: 4, jobSeconds: 5 });
  });

  it('of nothing takes no time', () => {
    expect(time([stage(), stage(work(0))], 3)).toMatchObject({ seconds: 0, utilization: 0 });
  });

  it('is refused without workers or bandwidth', () => {
    expect(() => time([], 0)).toThrow(RangeError);
    expect(() => time([], 1, { ...NET, linkBytesPerSecond: 0 })).toThrow(RangeError);
  });

  it('is never faster than its parts allow, moves no more than the store can, and more workers do not slow it down', () => {
    const random = randomNumbers(7);
    const draw = (most: number) => (random() < 0.2 ? 0 : random() * most);
    for (let i = 0; i < 60; i++) {
      const stages = Array.from({ length: 1 + Math.floor(random() * 3) }, () => ({
        name: 'random',
        before: random() < 0.5 ? work(draw(3), draw(100), draw(100)) : undefined,
        jobs: Array.from({ length: Math.floor(random() * 30) }, () => work(draw(5), draw(400), draw(400))),
      }));
      let [last, lastAlone] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
      for (const workers of [1, 2, 3, 5, 8, 13, 40]) {
        const { seconds, peakBytesPerSecond } = time(stages, workers);
        const alone = time(stages, workers, { ...NET, storeBytesPerSecond: 1e9 }).seconds;
        const { least, most } = boundsOf(stages, workers);
        expect(seconds).toBeGreaterThanOrEqual(least * (1 - 1e-9));
        expect(peakBytesPerSecond).toBeLessThanOrEqual(300 * (1 + 1e-9));
        // a store with room for all: a list of jobs on more workers is never slower
        expect(alone).toBeLessThanOrEqual(Math.min(seconds, most, lastAlone) * (1 + 1e-9));
        // a store that is full: workers that all read, then all compute, use it less well than those that take turns
        expect(seconds).toBeLessThanOrEqual(last * 1.25);
        if (workers === 1) expect(seconds).toBeCloseTo(least, 6);
        [last, lastAlone] = [seconds, alone];
      }
    }
  });
});

const LLAMA = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_act: 'silu',
  hidden_size: 8192,
  intermediate_size: 28672,
  num_attention_heads: 64,
  num_hidden_layers: 80,
  num_key_value_heads: 8,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
  vocab_size: 128256,
};

/** A model that refuses to be read. */
async function unread(path: string): Promise<Model> {
  const model = await open(path);
  vi.spyOn(model, 'readTensor').mockRejectedValue(new Error('weights were read'));
  return model;
}

describe('the plan of a run on many machines', () => {
  const tokens = { calibrationTokens: 2500, measuredTokens: 1100 };

  it('counts the jobs and the bytes of gpt-neo-tiny', async () => {
    const model = await unread(TINY);
    const { kinds, parent } = await planMachines(model, { budget: { bits: 3 }, tokens });
    const [hidden, inner, vocabulary, positions, layers] = [128, 512, 4096, 256, 4];
    const square = hidden * hidden;
    const weights = (vocabulary + positions) * hidden + layers * (4 * square + 2 * hidden * inner);
    const matrices = 2 + 6 * layers;
    const vectors = layers * (4 * hidden + hidden + inner + hidden) + 2 * hidden;
    const modelBytes = 2 * (weights + vectors);
    const passes = 5;
    // q, k and v share their input; an embedding records gradients alone, the head inputs alone
    const inputs = layers * (3 * hidden + inner) + hidden;
    const outputs = layers * (5 * hidden + inner) + 2 * hidden;
    const half = (n: number) => 2 * n * (n + 1);
    const written =
      layers * (4 * 2 * half(hidden) + 2 * (half(hidden) + half(inner))) +
      // the tied embedding, with moments and a diagonal of both uses; and positions
      2 * (half(hidden) + 4 * vocabulary) +
      half(hidden) +
      4 * positions;
    const readOfMoments = layers * (10 * hidden + 2 * inner) + 3 * hidden;
    const counts = 4 * 64 * 2 * 2001;
    const by = Object.fromEntries(kinds.map((kind) => [kind.kind, kind]));
    const bits = (by.encode!.writtenBytes / passes / weights) * 8;
    expect(by.windows).toMatchObject({
      jobs: 3,
      readBytes: 3 * 2 * modelBytes,
      writtenBytes: 4 * (2500 * (inputs + outputs) + 3 * vocabulary),
    });
    expect(by.moments).toMatchObject({
      jobs: matrices,
      readBytes: 4 * (2500 * readOfMoments + 3 * vocabulary),
      writtenBytes: written,
    });
    expect(by.matrix).toMatchObject({
      jobs: passes * matrices,
      readBytes: passes * (2 * weights + written),
      writtenBytes: passes * (weights + matrices * counts),
    });
    expect(by.encode).toMatchObject({ jobs: passes * matrices, readBytes: passes * weights });
    expect(bits).toBeCloseTo((3 * (weights + vectors) - 16 * vectors) / weights, 3);
    expect(by.measure).toMatchObject({ jobs: 3 });
    expect(by.measure!.readBytes).toBeCloseTo(3 * (modelBytes + (weights * bits) / 8), 3);
    expect(parent.readBytes).toBeCloseTo((passes * weights * bits) / 8, 3);
    await model.close();
  });

  it('is the same without weights', async () => {
    const config = JSON.parse(readFileSync(join(TINY, 'config.json'), 'utf8'));
    const model = await open(TINY);
    const own = shapedModel(config);
    const plans = await Promise.all(
      [model, own].map((each) => planMachines(each, { budget: { kl: 0.01 }, tokens })),
    );
    const [a, b] = plans.map(({ kinds }) =>
      kinds.map(({ kind, jobs, readBytes, writtenBytes, memory }) => ({
        kind,
        jobs,
        readBytes,
        writtenBytes,
        memory,
      })),
    );
    expect(a).toEqual(b);
    await model.close();
  });

  it.each([
    ...RUNNABLE.map((name) => join(FAMILIES, name)),
    ...['gpt2', 'gpt_neo', 'gpt_neox', 'llama', 'qwen2', 'roberta'].map((name) => join(FIXTURES, name)),
  ])('of %s', async (path) => {
    const model = await unread(path);
    const { kinds, runs } = await planMachines(model, { budget: { kl: 0.01 }, tokens });
    expect(kinds.map(({ kind }) => kind)).toEqual(['windows', 'moments', 'matrix', 'encode', 'measure']);
    for (const { seconds, readBytes, memory } of kinds)
      for (const value of [seconds, readBytes, memory.bytes]) expect(value).toBeGreaterThan(0);
    expect(runs.map(({ workers }) => workers)).toEqual([1, 4, 16, 64]);
    await model.close();
  });

  it('of 70 billion weights: a sample, then two passes over 562 matrices, the largest of which bounds memory', async () => {
    const model = shapedModel(LLAMA);
    const { kinds, stages, runs } = await planMachines(model, {
      budget: { bits: 3 },
      tokens: { calibrationTokens: 8192, measuredTokens: 2048 },
    });
    expect(kinds.map(({ kind, jobs }) => [kind, jobs])).toEqual([
      ['windows', 8],
      ['moments', 562],
      ['matrix', 3 * 51 + 2 * 562],
      ['encode', 2 * 562],
      ['measure', 4],
    ]);
    expect(stages.map(({ name }) => name)).toEqual([
      'upload',
      'windows',
      'moments',
      'sample 1',
      'sample 2',
      'sample 3',
      'pass 1',
      'encode 1',
      'pass 2',
      'encode 2',
      'measure 2',
    ]);
    const matrix = kinds.find(({ kind }) => kind === 'matrix')!;
    const [hidden, inner] = [8192, 28672];
    expect(matrix.memory.label).toMatch(/mlp\.(gate|up|down)_proj/);
    expect(matrix.memory.bytes).toBeGreaterThan(2 * 4 * (hidden ** 2 + inner ** 2));
    expect(runs[0]!.speedUp).toBe(1);
    expect(runs[3]!.speedUp).toBeGreaterThan(runs[1]!.speedUp);
  });

  it('of a lossless run: jobs of 64 MiB, then one pass over their frames', async () => {
    const model = shapedModel(LLAMA);
    const { kinds, parent } = await planMachines(model);
    const bytes = model.tensors.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
    expect(kinds).toMatchObject([{ kind: 'blocks', jobs: Math.ceil(bytes / 2 ** 26), readBytes: bytes }]);
    expect(kinds[0]!.seconds).toBeCloseTo(bytes * RATES.lossless.seconds, 3);
    expect(parent.readBytes).toBeCloseTo(0.658 * bytes, 0);
  });

  it('without calibration has no windows, no moments and nothing to measure', async () => {
    const model = await unread(TINY);
    const { kinds } = await planMachines(model, { budget: { bits: 4 } });
    expect(kinds.map(({ kind }) => kind)).toEqual(['matrix', 'encode']);
    await model.close();
  });
});

describe('what is printed of a plan', () => {
  afterEach(() => vi.restoreAllMocks());

  it('says that times are estimates, and of which machine', async () => {
    let text = '';
    vi.spyOn(process.stdout, 'write').mockImplementation((piece) => {
      text += piece;
      return true;
    });
    const plan = await planMachines(shapedModel(LLAMA), { budget: { bits: 3 } });
    printMachinesPlan(plan, false);
    expect(text).toMatch(/matrix +1,277 .* mlp\.gate_proj|matrix +1,277 /);
    expect(text).toMatch(/64 +\d/);
    expect(text).toMatch(/times are estimates, from rates measured on one thread of an AMD EPYC/);
    text = '';
    printMachinesPlan(plan, true);
    expect(JSON.parse(text)).toMatchObject({ runs: [{ workers: 1 }, {}, {}, { workers: 64 }] });
  });
});
