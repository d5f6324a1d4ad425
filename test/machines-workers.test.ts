// @module-tag slow
// One compression on worker processes and real servers, in which everything ends that can: the file is that of one process.
import { cpSync, existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { VERSION } from '../src/core/version.js';
import { openQueue } from '../src/queue/open.js';
import { openStore } from '../src/stores/open.js';
import { TINY } from './helpers/fixtures.js';
import { digestOf } from './helpers/fleet.js';
import { Machines, running, type Sample, smallSample } from './helpers/machines.js';
import { MOTO, MotoServer } from './helpers/moto.js';
import { needs } from './helpers/needs.js';
import type { Running } from './helpers/processes.js';
import { folder, seededRandom } from './helpers/safetensors.js';
import { hasPostgres, hasRedis, startPostgres, startRedis, type TestServer } from './helpers/servers.js';

const LOCK = { lockMs: 500 };

let small: Sample;
beforeAll(async () => {
  small = await smallSample();
});

/** Waits for a run to end well, and compares its file. */
async function expectSame(run: Running, output: string, { sha256 }: Sample): Promise<void> {
  const { status, stderr } = await run.ended;
  expect(status, stderr).toBe(0);
  expect(await digestOf(output)).toBe(sha256);
}

const newOutput = () => join(folder(), 'many.wpk');

describe('on Redis', needs(hasRedis, 'redis-server'), () => {
  let server: TestServer;
  let machines: Machines;
  beforeEach(async () => {
    server = await startRedis();
    machines = new Machines(server.address);
    return () => server.remove();
  });

  it.each([1, 2, 4])('%i workers', async (count) => {
    for (let i = 0; i < count; i++) machines.worker('--concurrency', '1');
    const output = newOutput();
    await expectSame(machines.compress(small, output), output, small);
  });

  it('the bundled model, to 3 bits per weight', async () => {
    const one = join(folder(), 'one.wpk');
    await running(['compress', TINY, one, '--bits', '3', '--calibration-tokens', '4096']).ended;
    const flags = ['--bits', '3', '--calibration-tokens', '4096'];
    const tiny = { model: TINY, flags, sha256: await digestOf(one) };
    for (let i = 0; i < 2; i++) machines.worker('--concurrency', '1');
    const output = newOutput();
    const run = machines.compress(tiny, output);
    await expectSame(run, output, tiny);
    expect(run.stderr).toMatch(/^weightpress: [\d,]+ jobs took .+ of work; workers read .+ and wrote .+$/m);
  });

  it('workers that are killed, 20 times at any moment', async () => {
    const random = seededRandom(20);
    let kills = 0;
    while (kills < 20) {
      const own = new Machines(server.address); // a store without results
      const workers = [own.scripted(LOCK), own.scripted(LOCK)];
      const output = newOutput();
      const run = own.compress(small, output);
      let isRunning = true;
      const ended = run.ended.then(() => {
        isRunning = false;
      });
      while (isRunning && kills < 20) {
        const at = Math.floor(random() * workers.length);
        const jobs = workers[at]!.count('started') + 1 + Math.floor(random() * 8);
        while (isRunning && workers[at]!.count('started') < jobs) await setTimeout(5);
        await setTimeout(random() * 40);
        if (!isRunning) break;
        workers[at]!.kill('SIGKILL');
        kills++;
        workers[at] = own.scripted(LOCK);
      }
      await ended;
      await expectSame(run, output, small);
      for (const worker of workers) worker.kill('SIGKILL');
    }
    expect(kills).toBe(20);
  });

  it('a server that restarts in mid-run', async () => {
    machines.worker();
    const output = newOutput();
    const run = machines.compress(small, output);
    for (const count of [5, 40]) {
      await machines.hasResults('matrix', count);
      await server.stop();
      await setTimeout(300);
      await server.start();
    }
    await expectSame(run, output, small);
    expect(run.stderr).toMatch(/connection lost .+ waiting for the server\n(?:.*\n)*.*connected again/);
  });

  it('jobs that are delivered again when they are done', async () => {
    const workers = [machines.scripted(), machines.scripted()];
    const output = newOutput();
    const run = machines.compress(small, output);
    const connection = await openQueue(server.address);
    onTestFinished(() => connection.close());
    let again = 0;
    let isRunning = true;
    void run.ended.then(() => {
      isRunning = false;
    });
    while (isRunning) {
      for (const kind of ['moments', 'matrix', 'encode'])
        for (const job of await connection.queue(`weightpress-${kind}`).getCompleted(0, 5))
          await job.retry('completed').then(
            () => again++,
            () => {},
          );
      await setTimeout(50);
    }
    await expectSame(run, output, small);
    expect(again).toBeGreaterThan(20);
    const started = workers.flatMap(({ lines }) => lines.filter(({ type }) => type === 'started'));
    expect(started.length).toBeGreaterThan(new Set(started.map(({ key }) => key)).size);
  });

  it('a worker that sleeps longer than its lock lasts, and wakes up', async () => {
    const sleeper = machines.scripted({ ...LOCK, concurrency: 4 });
    const output = newOutput();
    const run = machines.compress(small, output);
    await machines.hasResults('matrix', 3);
    const sleeps = async (count: number) => {
      const before = sleeper.count('started');
      while (sleeper.count('started') < before + count) await setTimeout(1);
      sleeper.kill('SIGSTOP');
    };
    await sleeps(2);
    const other = machines.scripted(LOCK);
    const open = sleeper.lines
      .filter(({ type }) => type === 'started')
      .map(({ key }) => key!)
      .filter((key) => !sleeper.lines.some((line) => line.key === key && line.type === 'finished'));
    for (const key of open.slice(0, 1)) await other.says('finished', key);
    sleeper.kill('SIGCONT');
    await expectSame(run, output, small);
    sleeper.kill('SIGTERM');
    expect(await sleeper.ended).toBe(0);
    expect(sleeper.count('failed') + other.count('failed')).toBe(0);
  });

  const namesOf = ({ lines }: ReturnType<typeof machines.scripted>, type: string) =>
    lines.filter((line) => line.type === type).map(({ kind, key }) => `${kind}/${key}`);

  it('a submitter that is killed and started again: what is done is not done again', async () => {
    const output = newOutput();
    const first = machines.scripted();
    const run = machines.compress(small, output);
    await machines.hasResults('matrix', 25);
    run.kill('SIGKILL');
    first.kill('SIGTERM');
    await Promise.all([run.ended, first.ended]);
    expect(existsSync(output)).toBe(false);
    const done = machines.results();
    // a job that had just written its result when its worker was stopped is in the queue again, and ends when it finds it
    const told = namesOf(first, 'finished');
    expect(told.length).toBeGreaterThan(20);
    const versions = done.map((name) => machines.versionOf(name));
    const second = machines.scripted();
    await expectSame(machines.compress(small, output), output, small);
    const again = namesOf(second, 'started');
    expect(told.filter((name) => again.includes(name))).toEqual([]);
    expect(done.map((name) => machines.versionOf(name))).toEqual(versions);
    // and a third time nothing is done at all
    const third = newOutput();
    const last = machines.compress(small, third);
    await expectSame(last, third, small);
    expect(last.stderr).toContain('weightpress: 0 jobs took');
  });

  it('two submitters of the same model share their jobs', async () => {
    const workers = [machines.scripted(), machines.scripted()];
    const outputs = [newOutput(), newOutput()];
    const runs = outputs.map((output) => machines.compress(small, output));
    for (const [i, run] of runs.entries()) await expectSame(run, outputs[i]!, small);
    const done = workers.flatMap(({ lines }) => lines.filter(({ type }) => type === 'finished'));
    expect(new Set(done.map(({ key }) => key)).size).toBe(done.length);
  });

  it('a worker of another version, and one that computes otherwise, are refused', async () => {
    const path = folder();
    cpSync('dist', join(path, 'dist'), { recursive: true });
    for (const name of ['node_modules', 'package.json']) symlinkSync(resolve(name), join(path, name));
    const version = VERSION;
    for (const name of readdirSync(join(path, 'dist'), { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.js')) continue;
      const text = readFileSync(join(path, 'dist', name), 'utf8'); // bundles have the version too
      const other = text.replace(new RegExp(`(VERSION = ['"])${version.replaceAll('.', '\\.')}`), '$10.0.1');
      if (other !== text) writeFileSync(join(path, 'dist', name), other);
    }
    const output = newOutput();
    const run = machines.compress(small, output);
    const of = (which: string, arithmetic: string) =>
      `${which.replaceAll('.', '\\.')} \\(${arithmetic} [0-9a-f]{12}\\)`;
    const line = (own: string) =>
      new RegExp(
        `^weightpress: the jobs are of weightpress ${of(version, '\\S+')}, this worker is ${own}: run the same version everywhere$`,
        'm',
      );
    const other = running(['worker', ...machines.flags], { program: join(path, 'dist/cli/main.js') });
    const otherwise = running(['worker', ...machines.flags], { env: { WEIGHTPRESS_RUNTIME: 'wasm' } });
    for (const [worker, expected] of [
      [other, line(of('0.0.1', '\\S+'))],
      [otherwise, line(of(version, 'wasm'))],
    ] as const) {
      await Promise.race([worker.ended, run.ended]); // it does the jobs, if it is not refused
      worker.kill('SIGKILL');
      const { status, stderr } = await worker.ended;
      expect(stderr).toMatch(expected);
      expect(stderr).not.toMatch(/finished/);
      expect(status).toBe(2);
    }
    machines.worker();
    await expectSame(run, output, small);
  });
});

describe('on PostgreSQL', needs(hasPostgres, 'postgresql'), () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server?.remove());

  it('2 workers', async () => {
    const machines = new Machines(server.address);
    for (let i = 0; i < 2; i++) machines.worker('--concurrency', '1');
    const output = newOutput();
    await expectSame(machines.compress(small, output), output, small);
  });
});

const S3 = needs(MOTO && hasRedis, 'redis-server and moto (pip install "moto[s3]" flask flask-cors)');
describe('with a store on S3', S3, () => {
  const s3 = new MotoServer();
  let server: TestServer;
  let restore = () => {};
  beforeAll(async () => {
    server = await startRedis();
    restore = await s3.useWith('bucket');
  });
  afterAll(async () => {
    restore();
    await s3.stop();
    await server.remove();
  });

  it('that fails now and then: the file in the bucket is that of one process', async () => {
    const random = seededRandom(9);
    const faults = [
      { status: 500, code: 'InternalError' },
      { status: 503, code: 'SlowDown' },
      { cutAfter: 1000 },
      'reset',
    ] as const;
    let broken = 0;
    s3.fault = () => (random() < 0.03 ? faults[broken++ % faults.length] : undefined);
    const machines = new Machines(server.address, 's3://bucket/store');
    for (let i = 0; i < 2; i++) machines.worker();
    const output = 's3://bucket/files/many.wpk';
    const { status, stderr } = await machines.compress(small, output).ended;
    expect(status, stderr).toBe(0);
    s3.fault = () => undefined;
    const store = await openStore('s3://bucket/files');
    const local = join(folder(), 'many.wpk');
    writeFileSync(local, await store.read('many.wpk'));
    await store.close();
    expect(await digestOf(local)).toBe(small.sha256);
    expect(broken).toBeGreaterThan(20);
    const again = await machines.compress(small, output).ended;
    expect(again.stderr).toBe(`weightpress: ${output}: already exists; --force replaces it\n`);
    expect(again.status).toBe(2);
  });
});
