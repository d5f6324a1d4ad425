// @module-tag slow
// Everything that can be wrong with a queue, a store, a job or an option: one line, exit code 2, and what was done stays.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { complaint, weightpress, weightpressWith } from './helpers/cli.js';
import { setS3Environment } from './helpers/environment.js';
import { TINY } from './helpers/fixtures.js';
import { digestOf } from './helpers/fleet.js';
import { Machines, running, type Sample, smallSample } from './helpers/machines.js';
import { needs } from './helpers/needs.js';
import { S3Server } from './helpers/s3-server.js';
import { folder } from './helpers/safetensors.js';
import { freePort, hasRedis, startRedis, type TestServer } from './helpers/servers.js';

const newOutput = () => join(folder(), 'many.wpk');
const QUEUE = 'redis://127.0.0.1:1/0';

describe('options that contradict each other', () => {
  it.each([
    [['--queue', QUEUE], '--store is missing: the address of the store'],
    [['--store', '.'], '--queue is missing: the address of the queue'],
    [['--bits', '3', '--queue', QUEUE], '--store is missing: the address of the store'],
    [
      ['--codec', 'dct', '--bits', '3', '--queue', QUEUE, '--store', '.'],
      'a transform runs in one process, without --queue',
    ],
    [
      ['--bits', '3', '--statistics', 'x', '--queue', QUEUE, '--store', '.'],
      '--statistics is for one process: with --queue, statistics are in the store',
    ],
    [
      ['--queue', 'http://x', '--store', '.'],
      'the address of a queue: expected redis://HOST, rediss://HOST, postgres://HOST/DATABASE or postgresql://HOST/DATABASE, found http://',
    ],
    [['--queue', QUEUE, '--store', 'ftp://x'], 'expected a folder or s3://BUCKET/PREFIX, found ftp:'],
  ])('compress %j', (flags, message) => {
    const output = newOutput();
    const said = complaint(weightpress('compress', TINY, output, ...flags));
    expect(said).toEqual({
      status: 2,
      lines: 1,
      stack: false,
      message: `weightpress: ${message}`,
      stdout: '',
    });
    expect(existsSync(output)).toBe(false);
  });

  it.each([
    [['worker'], '--queue is missing: the address of the queue'],
    [['worker', '--queue', QUEUE], '--store is missing: the address of the store'],
    [['status'], '--queue is missing: the address of the queue'],
    [['batch', 'list'], '--queue is missing: the address of the queue'],
    [
      ['worker', '--queue', QUEUE, '--store', '.', '--kinds', 'matrix,matrices'],
      'expected kinds of windows, moments, matrix, encode, measure, blocks, model, found "matrices"',
    ],
  ])('%j', (args, message) => {
    expect(complaint(weightpress(...args))).toMatchObject({
      status: 2,
      lines: 1,
      message: `weightpress: ${message}`,
    });
  });
});

describe('a list of a batch that is wrong', () => {
  it.each([
    ['m\nn --bits three\n', /line 2: expected --bits to be a positive number, found "three"$/],
    ['# only this\n\n', /names no models$/],
    ['m --no-such\n', /line 1: .*unknown option '--no-such'$/],
    ['m --bits 3 --bits 4\n', /line 1: .*option '--bits <n>' may be given once$/],
    ['m --tune --bits 3\n', /line 1: --tune is for compress$/],
    ['m a b\n', /line 1: .*too many arguments/],
  ])('%j', (text, message) => {
    const path = folder({ list: text });
    const said = complaint(
      weightpress('batch', join(path, 'list'), '-o', path, '--queue', QUEUE, '--store', path),
    );
    expect(said).toMatchObject({ status: 2, lines: 1, stack: false, stdout: '' });
    expect(said.message).toMatch(message);
  });
});

describe('with workers', needs(hasRedis, 'redis-server'), () => {
  let small: Sample;
  let server: TestServer;
  beforeAll(async () => {
    small = await smallSample();
    server = await startRedis();
  });
  afterAll(() => server?.remove());

  /** Compresses the small model, and expects one line and no output. */
  async function refused(queue: string, store: string, message: RegExp): Promise<void> {
    const output = newOutput();
    const args = ['compress', small.model, output, ...small.flags, '--queue', queue, '--store', store];
    const said = complaint(await weightpressWith({}, ...args));
    expect(said.message).toMatch(message);
    expect(said).toMatchObject({ status: 2, lines: 1, stack: false, stdout: '' });
    expect(existsSync(output)).toBe(false);
    expect(said.message).not.toContain(server.password);
  }

  describe('a queue or a store that cannot be used', () => {
    it('a queue that is not there: the run and a worker say so', async () => {
      const queue = `redis://127.0.0.1:${await freePort()}/0`;
      const message = /^weightpress: redis:\/\/127\.0\.0\.1:\d+\/0: cannot be reached \(.*ECONNREFUSED.*\)$/;
      await refused(queue, folder(), message);
      const worker = complaint(await weightpressWith({}, 'worker', '--queue', queue, '--store', folder()));
      expect(worker).toMatchObject({ status: 2, lines: 1 });
      expect(worker.message).toMatch(message);
    });

    it('a wrong password', async () => {
      const wrong = server.address.replace(server.password, 'swordfish');
      await refused(
        wrong,
        folder(),
        /^weightpress: redis:\/\/127\.0\.0\.1:\d+\/0: refused \(WRONGPASS .+\)$/,
      );
      const worker = complaint(await weightpressWith({}, 'worker', '--queue', wrong, '--store', folder()));
      expect(worker).toMatchObject({ status: 2, lines: 1 });
      expect(worker.message).not.toContain('swordfish');
    });

    it('a folder that is not there, and a file', async () => {
      const path = folder({ file: 'x' });
      await refused(server.address, join(path, 'none'), /none: .*(no such|does not exist)/);
      await refused(server.address, join(path, 'file'), /file: expected a folder, found a file$/);
    });
  });

  describe('on S3', () => {
    const s3 = new S3Server('bucket');
    let restore = () => {};
    beforeAll(async () => {
      await s3.start();
      restore = setS3Environment({
        AWS_ENDPOINT_URL: s3.endpoint,
        AWS_ACCESS_KEY_ID: 'good',
        AWS_SECRET_ACCESS_KEY: 'secret-of-fake',
      });
    });
    afterAll(async () => {
      restore();
      await s3.stop();
    });

    it.each([
      ['wrong access key', undefined, 's3://bucket/x', /the server does not know the access key/],
      ['wrong secret key', 'SignatureDoesNotMatch', 's3://bucket/x', /does not accept the secret key/],
      ['expired credentials', 'ExpiredToken', 's3://bucket/x', /the credentials have expired: sign in again/],
      ['no bucket', 'good', 's3://other/x', /bucket other does not exist/],
    ])('%s', async (_, answer, store, message) => {
      s3.reset();
      s3.keys.clear();
      if (answer !== undefined) s3.keys.set('good', answer === 'good' ? undefined : answer);
      await refused(server.address, store, message);
    });

    it('credentials that expire in mid-run', async () => {
      s3.keys.clear();
      s3.keys.set('good', undefined);
      s3.fault = ({ method, url }) => {
        if (method === 'PUT' && /\/matrix\//.test(url)) s3.keys.set('good', 'ExpiredToken');
        return undefined;
      };
      const machines = new Machines(server.address, 's3://bucket/expired');
      machines.worker();
      await refused(server.address, machines.store, /the credentials have expired: sign in again/);
      expect([...s3.objects.keys()].some((key) => key.startsWith('expired/moments/'))).toBe(true);
    });

    it('storage that is full in mid-run: the run goes on when there is room', async () => {
      s3.reset();
      s3.keys.clear();
      s3.keys.set('good', undefined);
      s3.fault = ({ method, url }) =>
        method === 'PUT' && /\/matrix\//.test(url) ? { status: 507, code: 'XMinioStorageFull' } : undefined;
      const machines = new Machines(server.address, 's3://bucket/full');
      machines.worker();
      await refused(server.address, machines.store, /the storage is full \(XMinioStorageFull\)/);
      const moments = () => [...s3.objects.keys()].filter((key) => key.startsWith('full/moments/')).length;
      const before = moments();
      expect(before).toBeGreaterThan(10);
      s3.fault = () => undefined;
      const output = newOutput();
      const { status, stderr } = await machines.compress(small, output).ended;
      expect(status, stderr).toBe(0);
      expect(await digestOf(output)).toBe(small.sha256);
      expect(moments()).toBe(before);
    });
  });

  const canMount = process.getuid?.() === 0 && spawnSync('mount', ['--version']).status === 0;
  it('a disk that is full in mid-run', needs(canMount, 'root, and mount'), async () => {
    const path = folder();
    const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', path]);
    if (status !== 0) return; // in a container without the right to mount
    onTestFinished(() => void spawnSync('umount', ['-l', path]));
    new Machines(server.address, path).worker();
    await refused(server.address, path, /no space left/);
  });

  it('a job that fails each time is named, all others are done; without what is wrong it goes on', async () => {
    const machines = new Machines(server.address);
    const first = machines.scripted();
    const run = machines.compress(small, newOutput());
    await machines.hasResults('matrix', 1);
    run.kill('SIGKILL');
    first.kill('SIGTERM');
    await Promise.all([run.ended, first.ended]);
    const tensor = 'h.1.attn.c_proj.weight';
    const damaged = machines
      .results()
      .map((name) => join(machines.store, name, 'result'))
      .find((path) => path.includes('/moments/') && readFileSync(path).includes(tensor))!;
    truncateSync(damaged, statSync(damaged).size - 1);
    for (const name of machines.results())
      if (name.startsWith('matrix/')) rmSync(join(machines.store, name), { recursive: true });
    const before = machines.results().length;
    machines.worker();
    const output = newOutput();
    const args = ['compress', small.model, output, ...small.flags, ...machines.flags];
    const said = complaint(await weightpressWith({}, ...args));
    const place = `matrix job transformer.${tensor} failed: ${machines.store}/moments/`;
    expect(said.message.slice(0, 13 + place.length)).toBe(`weightpress: ${place}`);
    expect(said.message).toMatch(
      /\/result: damaged: .+; \d+ of \d+ jobs succeeded, and what is done stays in the store$/,
    );
    expect(said).toMatchObject({ status: 2, lines: 1, stack: false });
    expect(existsSync(output)).toBe(false);
    const [, succeeded, of] = /(\d+) of (\d+) jobs/.exec(said.message)!.map(Number);
    expect(succeeded).toBe(of! - 1);
    expect(machines.results().length).toBe(before + succeeded!);
    rmSync(damaged);
    const again = machines.compress({ ...small, flags: [...small.flags, '--resume'] }, output);
    const { status, stderr } = await again.ended;
    expect(status, stderr).toBe(0);
    expect(await digestOf(output)).toBe(small.sha256);
  });

  it('SIGTERM in the middle of jobs: they are handed back, and done elsewhere', async () => {
    const machines = new Machines(server.address);
    const worker = machines.worker('--grace', '0', '--verbose');
    const output = newOutput();
    const run = machines.compress(small, output);
    await worker.says(/ started .+/);
    worker.kill('SIGTERM');
    const { status, stderr } = await worker.ended;
    expect(status).toBe(0);
    expect(stderr).toMatch(/ handed-back batches .+: handed back: the worker was stopped$/m);
    machines.worker();
    const ended = await run.ended;
    expect(ended.status, ended.stderr).toBe(0);
    expect(await digestOf(output)).toBe(small.sha256);
  });

  it('a model that is not there, and an output that is', async () => {
    const machines = new Machines(server.address);
    const none = running(['compress', './none', newOutput(), ...machines.flags]);
    expect(await none.ended).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^weightpress: .*none.*\n$/),
    });
    const output = newOutput();
    writeFileSync(output, 'x');
    const taken = await machines.compress(small, output).ended;
    expect(taken.stderr).toBe(`weightpress: ${output}: already exists; --force replaces it\n`);
    expect(taken.status).toBe(2);
    expect(readFileSync(output, 'utf8')).toBe('x');
  });
});
