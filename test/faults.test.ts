import { createHash } from 'node:crypto';
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  attachQuality,
  compress,
  decompress,
  exportOnnx,
  exportSafetensors,
  isInputError,
  open,
} from '../src/index.js';
import { LOSSES, Recording, readTree, type Tree, withFault, writeTree } from './helpers/faulty-disk.js';
import { FAMILIES } from './helpers/fixtures.js';
import { HubServer } from './helpers/hub-server.js';
import { f32, folder, safetensors, seededRandom } from './helpers/safetensors.js';

// Every operation on the disk fails once, and the power goes after every one: no name may lead to anything but what was there or the
// whole new thing, and nothing that the run did not make may change.

const random = seededRandom(14);
const weights = (count: number) => Array.from({ length: count }, () => (random() + random() - 1) / 50);
const MODEL = {
  'model/model.safetensors': safetensors([
    f32('a.weight', [64, 64], weights(4096)),
    f32('b.weight', [64], weights(64)),
  ]),
  'model/config.json': '{"model_type":"test"}',
};
/** What other programs, and older versions of this one, may have put there. */
const BYSTANDERS = {
  'new.wpk.partial': 'mine',
  'new.wpk.scratch': 'mine',
  'new.wpk.statistics': 'mine',
  'out.partial/kept.txt': 'mine',
  'out.old/kept.txt': 'mine',
};
const QUALITY = { perplexity: { mean: 12.5 } };
const NAME = 'someone/small';
let hub: HubServer;
let start: string;

beforeAll(async () => {
  hub = await HubServer.start();
  hub.add(NAME, { 'model.safetensors': MODEL['model/model.safetensors'], 'config.json': '{}' });
  start = folder({ ...MODEL, ...BYSTANDERS, 'full/old.txt': 'old' });
  await compressed(join(start, 'model'), join(start, 'old.wpk'));
});
afterAll(() => hub.stop());

async function withModel(path: string, work: (model: Awaited<ReturnType<typeof open>>) => Promise<unknown>) {
  const model = await open(path);
  await work(model).finally(() => model.close());
}

function compressed(model: string, output: string, options = {}) {
  return withModel(model, (opened) => compress(opened, output, { threads: 1, ...options }));
}

interface Scenario {
  /** The outputs, below the place. */
  readonly names: readonly string[];
  /** @param place a copy of `start` */
  work(place: string): Promise<unknown>;
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  compress: {
    names: ['new.wpk'],
    work: (place) => compressed(join(place, 'model'), join(place, 'new.wpk')),
  },
  'compress over a file': {
    names: ['old.wpk'],
    work: (place) => compressed(join(place, 'model'), join(place, 'old.wpk'), { force: true }),
  },
  'compress by a transform, to a budget': {
    names: ['new.wpk'],
    work: (place) =>
      withModel(join(place, 'model'), (model) =>
        compress(model, join(place, 'new.wpk'), {
          codec: { transform: 'none' },
          budget: { ratio: 4 },
          calibration: false,
        }),
      ),
  },
  attach: { names: ['old.wpk'], work: (place) => attachQuality(join(place, 'old.wpk'), QUALITY) },
  decompress: {
    names: ['deep'],
    work: (place) => decompress(join(place, 'old.wpk'), join(place, 'deep/out'), { threads: 1 }),
  },
  'decompress over a folder': {
    names: ['full'],
    work: (place) => decompress(join(place, 'old.wpk'), join(place, 'full'), { threads: 1, force: true }),
  },
  export: {
    names: ['out'],
    work: (place) =>
      withModel(join(place, 'model'), (model) =>
        exportSafetensors(model, join(place, 'out'), { dtype: 'BF16' }),
      ),
  },
  'export as ONNX': {
    names: ['out'],
    work: (place) => withModel(join(FAMILIES, 'gpt2'), (model) => exportOnnx(model, join(place, 'out'))),
  },
};

const LOSSY_OPTIONS = { budget: { bits: 6 }, threads: 1, calibration: false } as const;
const LOSSY: Scenario = {
  names: ['new.wpk'],
  work: (place) =>
    withModel(join(place, 'model'), (model) => compress(model, join(place, 'new.wpk'), LOSSY_OPTIONS)),
};

/** A place of its own to work in. */
function fresh(): string {
  const place = folder();
  cpSync(start, place, { recursive: true });
  return place;
}

/** Paths, and what tells contents apart: a comparison of Buffers takes a step a byte. */
type Digests = readonly (readonly [path: string, content: string])[];

function digests(tree: Iterable<[string, Buffer | string]>): Digests {
  const digest = (bytes: Buffer) => createHash('sha1').update(bytes).digest('hex');
  const all = [...tree].map(
    ([path, content]) => [path, typeof content === 'string' ? content : digest(content)] as const,
  );
  return all.sort(([a], [b]) => (a < b ? -1 : 1));
}

/** What is at a name, and below it. */
function below(tree: Tree, name: string): Digests {
  const own = [...tree].filter(([path]) => path === name || path.startsWith(`${name}/`));
  return digests(own.map(([path, content]) => [path.slice(name.length), content]));
}

const IN_THE_MAKING = /^([\w.]+)\.[A-Za-z0-9-]+-\d+-[0-9a-f]{12}\.(partial|old|scratch|trials)(\/|$)/;
const topOf = (path: string) => path.split('/')[0]!;

/** Holds a tree against what was there and what was to be made. @returns what is left in the making */
function expectSound(tree: Tree, { names }: Scenario, before: Tree, after: Tree): string[] {
  for (const name of names) {
    const [now, old, made] = [below(tree, name), below(before, name), below(after, name)];
    const aside = [...tree.keys()].find(
      (path) => IN_THE_MAKING.exec(path)?.slice(1, 3).join() === `${name},old`,
    );
    if (now.length === 0 && old.length && aside) expect(below(tree, topOf(aside))).toEqual(old);
    else if (now.length === 0 || isEmptyFolder(now)) expect(old).toEqual([]);
    else expect([old, made], name).toContainEqual(now);
  }
  const isOther = (path: string) => !names.includes(topOf(path)) && !IN_THE_MAKING.test(path);
  const others = (of: Tree) => digests([...of].filter(([path]) => isOther(path)));
  expect(others(tree)).toEqual(others(before));
  return [...new Set([...tree.keys()].filter((path) => IN_THE_MAKING.test(path)).map(topOf))];
}

/** Folders on the way to an output, with nothing in them yet but what is in the making. */
function isEmptyFolder(entries: Digests): boolean {
  return entries.every(
    ([path]) => path.endsWith('/') || path.split('/').some((part) => /-[0-9a-f]{12}\./.test(part)),
  );
}

async function cleanRun(scenario: Scenario) {
  const place = fresh();
  const before = readTree(place);
  const recording = await Recording.of(place, () => scenario.work(place));
  expect(recording.error).toBeUndefined();
  const after = readTree(place);
  expect(expectSound(after, scenario, before, after)).toEqual([]);
  // the model of the disk that cuts are worked out on is right
  expect(digests(recording.cutAfter(recording.operations, LOSSES[0]!))).toEqual(digests(after));
  return { recording, before, after };
}

async function expectSoundWith(
  n: number,
  code: 'EIO' | 'ENOSPC',
  scenario: Scenario,
  before: Tree,
  after: Tree,
) {
  const place = fresh();
  const { failed, error } = await withFault(n, code, () => scenario.work(place));
  const said = `${code} at ${n}, ${failed}: ${error}`;
  if (error) expect(isInputError(error), said).toBe(true);
  const tree = readTree(place);
  const left = expectSound(tree, scenario, before, after);
  // what is left is named, but for what holds nothing: the next run names that
  const unnamed = left.filter((name) => !said.includes(name) && !name.endsWith('.scratch'));
  expect(unnamed, said).toEqual([]);
  if (!error) for (const name of scenario.names) expect(below(tree, name), said).toEqual(below(after, name));
  rmSync(place, { recursive: true });
}

describe.each(Object.entries(SCENARIOS))('%s', (_, scenario) => {
  test('whichever operation fails, with EIO or on a full disk', async () => {
    const { recording, before, after } = await cleanRun(scenario);
    expect(recording.operations).toBeGreaterThan(5);
    for (let n = 0; n < recording.operations; n++)
      await expectSoundWith(n, n % 2 ? 'EIO' : 'ENOSPC', scenario, before, after);
  }, 120_000);

  test('wherever the power is cut', async () => {
    const { recording, before, after } = await cleanRun(scenario);
    for (let n = 0; n <= recording.operations; n++)
      for (const loss of LOSSES) expectSound(recording.cutAfter(n, loss), scenario, before, after);
    // once it has said that it is done, it is
    for (const loss of LOSSES)
      for (const name of scenario.names)
        expect(below(recording.cutAfter(recording.operations, loss), name)).toEqual(below(after, name));
  }, 60_000);
});

test('lossy compress, on threads and with a scratch file: every kind of operation fails, and every cut', {
  tags: 'slow',
}, async () => {
  const { recording, before, after } = await cleanRun(LOSSY);
  for (let n = 0; n <= recording.operations; n++)
    for (const loss of LOSSES) expectSound(recording.cutAfter(n, loss), LOSSY, before, after);
  for (const [i, n] of recording.firstOfEachKind().entries())
    await expectSoundWith(n, i % 2 ? 'EIO' : 'ENOSPC', LOSSY, before, after);
});

test('lossy compress goes on from what a full disk left, and gives the same file', {
  tags: 'slow',
}, async () => {
  const { recording, after } = await cleanRun(LOSSY);
  const whole = after.get('new.wpk') as Buffer;
  let resumed = 0;
  for (let i = 1; i <= 6; i++) {
    const place = fresh();
    const n = Math.floor((recording.operations * i) / 7);
    const { error } = await withFault(n, 'ENOSPC', () => LOSSY.work(place));
    const isResumable = isInputError(error) && error.code === 'resumable';
    const left = () => [...readTree(place).keys()].filter((path) => IN_THE_MAKING.test(path));
    expect(
      left().some((path) => path.endsWith('.trials')),
      `${error}`,
    ).toBe(isResumable);
    resumed += isResumable ? 1 : 0;
    await withModel(join(place, 'model'), (model) =>
      compress(model, join(place, 'new.wpk'), { ...LOSSY_OPTIONS, resume: true }),
    );
    expect(readFileSync(join(place, 'new.wpk')).equals(whole)).toBe(true);
    expect(left()).toEqual([]);
    rmSync(place, { recursive: true });
  }
  expect(resumed).toBeGreaterThan(2);
});

/** Puts what a power cut left somewhere, where the process that made it is gone. */
function materialized(tree: Tree): string {
  const place = folder();
  writeTree(place, tree);
  return place;
}

test('compress --resume gives the whole file wherever the power was cut', { tags: 'slow' }, async () => {
  const { recording, after } = await cleanRun(SCENARIOS.compress!);
  const whole = after.get('new.wpk') as Buffer;
  let resumed = 0;
  for (let n = 1; n < recording.operations; n++)
    for (const loss of LOSSES.filter(({ names }) => names === 'survive')) {
      const place = materialized(recording.cutAfter(n, loss));
      const output = join(place, 'new.wpk');
      const has = readTree(place).has('new.wpk');
      await compressed(join(place, 'model'), output, { resume: true, force: has });
      expect(readFileSync(output).equals(whole)).toBe(true);
      resumed += has ? 0 : 1;
      rmSync(place, { recursive: true });
    }
  expect(resumed).toBeGreaterThan(10);
});

test('whichever operation fails while it goes on from what was left', async () => {
  const { recording, after } = await cleanRun(SCENARIOS.compress!);
  const tree = recording.cutAfter(recording.operations - 5, { names: 'survive', bytes: 'torn' });
  const whole = after.get('new.wpk') as Buffer;
  const resume = (place: string) =>
    compressed(join(place, 'model'), join(place, 'new.wpk'), { resume: true });
  for (let n = 0, operations = 1; n < operations; n++) {
    const place = materialized(tree);
    const faulted = await withFault(n, 'EIO', () => resume(place));
    operations = Math.max(operations, faulted.operations);
    const now = readTree(place).get('new.wpk') as Buffer | undefined;
    expect(now === undefined || now.equals(whole)).toBe(true);
    if (!now) await resume(place);
    expect(readFileSync(join(place, 'new.wpk')).equals(whole)).toBe(true);
    rmSync(place, { recursive: true });
  }
}, 60_000);

describe('download into the cache', () => {
  const cache = 'hub/models--someone--small';
  const download = async (place: string) => {
    Object.assign(process.env, { HF_ENDPOINT: hub.endpoint, HF_HOME: place, HF_TOKEN: '' });
    const model = await open(NAME, { reading: 'download' });
    const bytes = await model.readTensor('a.weight').finally(() => model.close());
    return Buffer.from(bytes);
  };
  const isInTheMaking = (path: string) => /-[0-9a-f]{12}\.(incomplete|partial|link)$/.test(basename(path));

  /** Every whole name in it is right, and every link leads to something. */
  function expectRight(tree: Tree, after: Tree) {
    for (const [path, content] of tree) {
      if (path.endsWith('/') || isInTheMaking(path)) continue;
      expect(after.has(path), path).toBe(true);
      const right = after.get(path)!;
      expect(typeof content === 'string' ? content === right : content.equals(right as Buffer), path).toBe(
        true,
      );
      if (typeof content === 'string') expect(tree.has(join(path, '..', content.slice(3))), path).toBe(true);
    }
  }

  test('whichever operation fails, and wherever the power is cut; another run then has the right weights', {
    tags: 'slow',
  }, async () => {
    const place = folder();
    const recording = await Recording.of(place, () => download(place));
    expect(recording.error).toBeUndefined();
    const after = readTree(place);
    expect([...after.keys()].filter((path) => path.startsWith(`${cache}/blobs/`))).toHaveLength(2);
    const right = await download(place);
    for (let n = 0; n < recording.operations; n++)
      for (const code of ['EIO', 'ENOSPC'] as const) {
        const other = folder();
        const { error } = await withFault(n, code, () => download(other));
        if (error) expect(isInputError(error), String(error)).toBe(true);
        expectRight(readTree(other), after);
        if (code === 'EIO') expect((await download(other)).equals(right)).toBe(true);
        rmSync(other, { recursive: true });
      }
    for (let n = 0; n <= recording.operations; n++)
      for (const loss of LOSSES) {
        const tree = recording.cutAfter(n, loss);
        expectRight(tree, after);
        if (loss.bytes === 'lost') continue;
        const other = materialized(tree);
        expect((await download(other)).equals(right)).toBe(true);
        rmSync(other, { recursive: true });
      }
  });
});
