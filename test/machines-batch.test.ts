// @module-tag slow
// Lists of models on many machines, and what a queue tells of itself.
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compress } from '../src/index.js';
import { weightpressWith } from './helpers/cli.js';
import { TINY } from './helpers/fixtures.js';
import { digestOf } from './helpers/fleet.js';
import { Machines, smallSample } from './helpers/machines.js';
import { needs } from './helpers/needs.js';
import { folder, seededRandom } from './helpers/safetensors.js';
import { embeddingFolder } from './helpers/sentences.js';
import { hasRedis, startRedis, type TestServer } from './helpers/servers.js';

/** Changes the lowest bits of a model's last weights. */
function change(model: string, seed: number): void {
  const path = join(model, 'model.safetensors');
  const file = readFileSync(path);
  const random = seededRandom(seed);
  for (let at = file.length - 1000; at < file.length; at += 4) file[at]! ^= 16 * random();
  writeFileSync(path, file);
}

/** Makes models in a folder: `m0` and so on; every third is a fixture, the others are copies of the bundled model. */
function models(count: number): string[] {
  const path = folder();
  return Array.from({ length: count }, (_, i) => {
    const model = join(path, `m${i}`);
    cpSync(i % 3 ? TINY : embeddingFolder('gpt2'), model, { recursive: true });
    change(model, i + 1);
    return model;
  });
}

describe('a batch', needs(hasRedis, 'redis-server'), () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server?.remove());

  it('each model once, as one process writes it; again only what is not there', async () => {
    const machines = new Machines(server.address);
    for (let i = 0; i < 2; i++) machines.worker('--concurrency', '1');
    const paths = models(12);
    const [, untidy] = paths as [string, string];
    mkdirSync(join(untidy, 'empty'));
    mkdirSync(join(untidy, '.git'));
    const link = join(folder(), 'named otherwise');
    symlinkSync(paths[2]!, link);
    const bits = (i: number) => (i % 3 ? undefined : 6 + i / 6);
    const flags = (i: number) => (bits(i) ? ` --bits ${bits(i)} --no-calibration` : '');
    const broken = folder({ 'config.json': '{', 'model.safetensors': 'none' });
    const list = join(folder(), 'list');
    const sourceOf = (path: string) => (path === paths[2] ? link : path);
    const lines = paths.map((path, i) => `"${sourceOf(path)}" m${i}${flags(i)}`);
    writeFileSync(list, ['# models', ...lines, `${broken} broken --bits 4`, ''].join('\n'));
    const out = folder();
    const run = async (...more: string[]) => {
      const { status, stdout, stderr } = await weightpressWith(
        {},
        ...['batch', list, '-o', out, ...machines.flags, '--json', ...more],
      );
      const rows = stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line));
      return { status, rows, stderr };
    };
    const nameOf = (i: number) => join(out, `m${i}.wpk`);
    const first = await run();
    expect(first.status, first.stderr).toBe(2);
    expect(first.stderr).toMatch(/^weightpress: 12 of 13 models in .+; 12 jobs took .+ of work; .+\n$/);
    const statesOf = (rows: readonly { output: string; state: string }[]) =>
      rows.map(({ output, state }) => `${state} ${output}`).sort();
    const all = (state: string) => paths.map((_, i) => `${state} ${nameOf(i)}`);
    const failed = `failed ${join(out, 'broken.wpk')}`;
    expect(statesOf(first.rows)).toEqual([...all('done'), failed].sort());
    expect(first.rows.find(({ state }) => state === 'failed').reason).toMatch(/^\S.+/);
    expect(readdirSync(out).sort()).toEqual(paths.map((_, i) => `m${i}.wpk`).sort());
    for (const [i, path] of paths.entries()) {
      const one = join(folder(), 'one.wpk');
      await compress(path, one, bits(i) ? { budget: { bits: bits(i)! }, calibration: false } : {});
      expect(await digestOf(nameOf(i)), path).toBe(await digestOf(one));
      const { entry } = first.rows.find(({ source }) => source === sourceOf(path));
      expect(entry).toMatchObject({
        file: nameOf(i),
        lossless: !bits(i),
        compressedBytes: statSync(one).size,
      });
    }
    const digests = await Promise.all(paths.map((_, i) => digestOf(nameOf(i))));
    expect(new Set(digests).size).toBe(12);

    rmSync(nameOf(3));
    const second = await run();
    const others = all('exists').filter((_, i) => i !== 3);
    expect(statesOf(second.rows)).toEqual([...others, `done ${nameOf(3)}`, failed].sort());
    expect(second.status).toBe(2);
    expect(await digestOf(nameOf(3))).toBe(digests[3]);
  });

  it('what one process refuses is refused, and what it would lose is not lost in silence', async () => {
    const machines = new Machines(server.address);
    const model = folder({ 'weights.bin': 'some' });
    symlinkSync('/etc/hostname', join(model, 'link'));
    const list = join(folder(), 'list');
    writeFileSync(list, model);
    const run = (out: string) => weightpressWith({}, ...['batch', list, '-o', out, ...machines.flags]);
    const out = folder();
    const { status, stdout } = await run(out);
    expect(status).toBe(2);
    expect(stdout).toMatch(/^failed .+link: a link out of the folder/);
    expect(readdirSync(out)).toEqual([]);
    const missing = join(out, 'none');
    expect(await run(missing)).toMatchObject({
      status: 2,
      stdout: '',
      stderr: `weightpress: ${missing}: no such file or directory\n`,
    });
  });

  it('two models with one output, and a model that is not there', async () => {
    const machines = new Machines(server.address);
    const path = folder();
    const run = async (text: string) => {
      const list = join(folder(), 'list');
      writeFileSync(list, text);
      const args = ['batch', list, '-o', path, ...machines.flags];
      const { status, stderr, stdout } = await weightpressWith({}, ...args);
      return { status, stderr, stdout };
    };
    expect(await run(`${TINY} same\n${TINY} same.wpk\n`)).toEqual({
      status: 2,
      stderr: `weightpress: ${join(path, 'same.wpk')}: is the output of two models\n`,
      stdout: '',
    });
    const none = await run('./none\n');
    expect(none.status).toBe(2);
    expect(none.stdout).toMatch(/^failed {2}\.\/none: .+\n$/);
    expect(readdirSync(path)).toEqual([]);
  });
});

describe('status', needs(hasRedis, 'redis-server'), () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server?.remove());
  const status = (...flags: string[]) => weightpressWith({}, 'status', '--queue', server.address, ...flags);

  it('of a queue that nobody has used, and of one with workers and jobs', async () => {
    const idle = await status();
    const name = server.address.replace(/:[^/]*@/, '');
    expect(idle).toMatchObject({ status: 0, stdout: `0 workers at ${name}\n`, stderr: '' });
    const small = await smallSample();
    const machines = new Machines(server.address);
    const worker = machines.worker('--concurrency', '1', '--kinds', 'windows,moments,matrix');
    const run = machines.compress(small, join(folder(), 'x.wpk'));
    await machines.hasResults('matrix', 1);
    const found = JSON.parse((await status('--json')).stdout);
    expect(found).toMatchObject({
      address: name,
      workers: [{ pid: worker.pid, concurrency: 1, kinds: ['windows', 'moments', 'matrix'] }],
    });
    expect(found.kinds.map(({ kind }: { kind: string }) => kind).sort()).toEqual([
      ...['matrix', 'moments', 'windows'],
    ]);
    const windows = found.kinds.find(({ kind }: { kind: string }) => kind === 'windows');
    expect(windows).toMatchObject({ waiting: 0, active: 0, failed: 0 });
    expect(windows.completed).toBeGreaterThan(0);
    // jobs of a kind that no worker takes wait
    while (!(await status()).stdout.includes('unfinished: encoding'));
    const { stdout } = await status();
    expect(stdout).toMatch(/^1 worker at /);
    expect(stdout).toMatch(/^encode +\d+ /m);
    expect(stdout).not.toContain(server.password);
    machines.worker('--kinds', 'encode,measure');
    expect((await run.ended).status).toBe(0);
    const after = JSON.parse((await status('--json')).stdout);
    expect(after.groups).toEqual([]);
    for (const { waiting, active, delayed } of after.kinds) expect(waiting + active + delayed).toBe(0);
  });
});
