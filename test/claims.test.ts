import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { inspect } from '../src/index.js';
import { complaint, weightpress, weightpressWith } from './helpers/cli.js';
import { HubServer } from './helpers/hub-server.js';
import { needs } from './helpers/needs.js';
import { PYTHON, python } from './helpers/python.js';
import { f32, folder, safetensors, seededRandom } from './helpers/safetensors.js';
import { hasRedis, startRedis } from './helpers/servers.js';

// docs/claims.md names the test of every promise. What no other test holds is at the end.

const TINY = 'examples/gpt-neo-tiny';
const COMMANDS = [...weightpress('--help').stdout.matchAll(/^ {2}([a-z]+) (?:\[options\] )?[<[]/gm)]
  .map(([, name]) => name!)
  .filter((name) => name !== 'help');
const lines = (text: string) => text.split('\n').filter(Boolean);
const weights = (name: string) =>
  safetensors([f32(name, [8, 8], Float32Array.from({ length: 64 }, seededRandom(7)))]);

/** The rows of a table of docs/claims.md, under its heading. */
function rows(heading: string): [claim: string, file: string, name: string][] {
  const text = readFileSync('docs/claims.md', 'utf8');
  const section = text.split(`## ${heading}\n`)[1]!.split('\n## ')[0]!;
  return section
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| claim') && !line.startsWith('| option'))
    .map((line) => {
      const [claim, link, name] = line.slice(2, -2).split(' | ');
      return [claim!, /\]\(\.\.\/(test\/[\w-]+\.test\.ts)\)/.exec(link!)![1]!, name!];
    });
}

describe('docs/claims.md', () => {
  it.each(['The README', 'Options'])('%s: every test that is named is there', (heading) => {
    const claims = rows(heading);
    expect(claims.length).toBeGreaterThan(30);
    for (const [claim, file, name] of claims) {
      const titles = [...readFileSync(file, 'utf8').matchAll(TITLE)].map(([, , title]) =>
        title!.replaceAll('\\', ''),
      );
      expect(titles, `${claim}: ${file}`).toContain(name);
    }
  });

  it('has every option that --help shows', () => {
    const held = new Set(rows('Options').flatMap(([options]) => optionsIn(options)));
    for (const command of COMMANDS)
      for (const option of new Set(
        weightpress(command, '--help').stdout.match(/(?<=^ {2}(-\w, )?)--[a-z-]+/gm),
      ))
        expect(held.has(`${command} ${option}`) || held.has(option), `${command} ${option}`).toBe(true);
  });
});

/** What is said of a test, in any of the ways to write one. */
const TITLE = /(?:\b(?:it|test|describe)\b[\w.]*|\))\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1,/g;

/** `compress --kl, --size` as `compress --kl` and `compress --size`. */
function optionsIn(text: string): string[] {
  let command = '';
  return text
    .replaceAll('`', '')
    .split(', ')
    .map((part) => {
      const [first, option] = part.split(' ');
      if (option !== undefined) command = `${first} `;
      return command + (option ?? first);
    });
}

/** Commands that print a script, or a log. */
const NO_RESULTS = ['completion', 'worker'];

test.each(COMMANDS)('%s --help has an example, and --json where it prints results', (command) => {
  const { status, stdout } = weightpress(command, '--help');
  expect(status).toBe(0);
  expect(stdout).toMatch(new RegExp(`Examples?:\\n +(\\$ )?weightpress ${command}`));
  if (!NO_RESULTS.includes(command)) expect(stdout).toContain('--json');
});

test('a file that restores over 1 GiB and 1000 times its length is asked for', { tags: 'slow' }, () => {
  const place = folder();
  const header = (bytes: number) => `{"w":{"dtype":"U8","shape":[${bytes}],"data_offsets":[0,${bytes}]}}`;
  const bytes = 2 ** 30 + 2 ** 20;
  const field = Buffer.alloc(8);
  field.writeBigUInt64LE(BigInt(header(bytes).length));
  mkdirSync(join(place, 'zeros'));
  const path = join(place, 'zeros/model.safetensors');
  writeFileSync(path, Buffer.concat([field, Buffer.from(header(bytes))]));
  truncateSync(path, 8 + header(bytes).length + bytes);
  const wpk = join(place, 'zeros.wpk');
  expect(weightpress('compress', join(place, 'zeros'), '-o', wpk).status).toBe(0);
  for (const args of [
    ['verify', wpk],
    ['decompress', wpk, '-o', join(place, 'out')],
  ]) {
    const said = complaint(weightpress(...args));
    expect(said).toMatchObject({ status: 2, lines: 1 });
    expect(said.message).toMatch(
      /would restore 1074790\d{3}, \d+ times as many; the limit is 1000 times; --max-expansion allows more/,
    );
  }
  const asked = /(\d+) times as many/.exec(complaint(weightpress('verify', wpk)).message)![1]!;
  expect(weightpress('verify', wpk, '--max-expansion', asked).status).toBe(0);
});

describe('the Hub', () => {
  let hub: HubServer;
  beforeAll(async () => {
    hub = await HubServer.start();
    hub.add('a/several', {
      'config.json': '{}',
      'model.safetensors': weights('w'),
      'pytorch_model.bin': Buffer.alloc(300, 7),
      'onnx/model.onnx': Buffer.alloc(300, 8),
    });
  });
  afterAll(() => hub.stop());

  it('further copies of the weights of a repository are named, and taken with --all', async () => {
    const place = folder();
    const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: join(place, 'home'), HF_TOKEN: '' };
    const wpk = join(place, 'x.wpk');
    const { stdout, stderr } = await weightpressWith(env, 'compress', 'a/several', '-o', wpk);
    expect(stderr).toBe('');
    expect(stdout).toMatch(
      /left out: onnx\/model\.onnx, 300 B: .*for ONNX, beside safetensors; --all includes it/,
    );
    expect(stdout).toMatch(/left out: pytorch_model\.bin, 300 B: .*for PyTorch/);
    expect((await inspect(wpk)).leftOut).toHaveLength(2);
    expect((await weightpressWith(env, 'compress', 'a/several', '-o', wpk, '-f', '--all')).status).toBe(0);
    const { leftOut, sideFiles, weightFiles } = await inspect(wpk);
    expect(leftOut).toEqual([]);
    expect([...sideFiles, ...weightFiles]).toHaveLength(4);
  });
});

test(
  '--state chooses what is exported of a checkpoint, and the output names what there is',
  needs(PYTHON, 'Python with PyTorch'),
  () => {
    const place = folder();
    python(place, "torch.save({'model': {'w': torch.ones(4, 4)}, 'ema': {'w': torch.zeros(4, 4)}}, 'x.pt')");
    const run = (...args: string[]) =>
      weightpress(
        'decompress',
        join(place, 'x.pt'),
        '-o',
        join(place, 'out'),
        '--format',
        'safetensors',
        ...args,
      );
    expect(complaint(run()).message).toMatch(/several states: .*model.*ema.*choose one with --state/);
    expect(run('--state', 'ema').status).toBe(0);
    const written = readFileSync(join(place, 'out/model.safetensors'));
    expect(written.subarray(-64).every((byte) => byte === 0)).toBe(true);
  },
);

test('--calibrate reads the text that is named, and measures on what is held out of it', {
  tags: 'slow',
}, async () => {
  const wpk = join(folder(), 'x.wpk');
  const args = ['--bits', '3', '--calibrate', 'examples/held-out.txt', '--calibration-tokens', '4096'];
  const { status, stdout } = weightpress('compress', TINY, '-o', wpk, ...args);
  expect(status).toBe(0);
  expect(stdout).toContain('quality (held out of held-out.txt): KL divergence');
});

test('catalog --sort orders by any column', { tags: 'slow' }, () => {
  const place = folder();
  for (const [name, n] of [
    ['b', 10],
    ['a', 1000],
  ] as const) {
    mkdirSync(join(place, `model-${name}`));
    const path = join(place, `model-${name}/model.safetensors`);
    writeFileSync(path, safetensors([f32('w', [n], Float32Array.from({ length: n }, seededRandom(n)))]));
    weightpress('compress', join(place, `model-${name}`), '-o', join(place, `${name}.wpk`));
  }
  const order = (...args: string[]) =>
    JSON.parse(weightpress('catalog', place, '--json', ...args).stdout).map(({ file }: { file: string }) =>
      file.split('/').at(-1),
    );
  expect(order()).toEqual(['a.wpk', 'b.wpk']);
  for (const column of ['parameters', 'size', 'ratio'])
    expect(order('--sort', column), column).toEqual(['b.wpk', 'a.wpk']);
});

test('audit takes a claim in options as in a file', () => {
  const claim = {
    parameters: 1_000_000,
    values: 500_000,
    'value-bits': 16,
    ratio: 2,
    original: 'f32',
    'relative-error': 0.01,
    kl: 0.01,
  };
  const flags = Object.entries({ ...claim, bytes: '1MB' }).flatMap(([name, value]) => [
    `--${name}`,
    String(value),
  ]);
  const { stdout, stderr } = weightpress('audit', ...flags);
  expect(stderr).toBe('');
  for (const said of [/500,000/, /ratio of 2:1/, /0\.01/]) expect(stdout).toMatch(said);
  const lossless = weightpress('audit', '--parameters', '1000000', '--bits', '4', '--lossless');
  expect(lossless.status).toBe(1);
  expect(lossless.stdout).toMatch(/contradicted/);
});

describe('many machines', needs(hasRedis, 'redis-server'), () => {
  /** Starts a worker. @returns what stops it, and resolves with its exit code. */
  function startWorker(env: Record<string, string>, ...args: string[]) {
    const worker = spawn(process.execPath, ['dist/cli/main.js', 'worker', ...args], {
      env: { ...process.env, ...env },
      stdio: 'ignore',
    });
    const exit = new Promise<number | null>((resolve) => worker.on('exit', resolve));
    return async () => {
      worker.kill('SIGTERM');
      return exit;
    };
  }

  test('workers make the files of one process, for compress and for batch; status shows them', {
    tags: 'slow',
  }, async () => {
    const redis = await startRedis();
    const place = folder({ 'models.txt': `${TINY} --bits 4 --no-calibration\n${TINY} lossless.wpk\n` });
    const env = { WEIGHTPRESS_QUEUE: redis.address, WEIGHTPRESS_STORE: folder() };
    const limits = ['--concurrency', '2', '--memory', '2GB'];
    const stops = [
      startWorker(env, ...limits, '--kinds', 'blocks,matrix,encode'),
      startWorker(env, ...limits, '--kinds', 'model'),
    ];
    try {
      const run = (...args: string[]) => weightpressWith(env, ...args);
      const machines = ['--queue', redis.address, '--store', env.WEIGHTPRESS_STORE];
      const lossy = ['--bits', '4', '--no-calibration'];
      const at = (name: string) => join(place, name);
      for (const [args, name] of [
        [[], 'lossless'],
        [lossy, 'lossy'],
      ] as const) {
        expect(await run('compress', TINY, at(`${name}-1.wpk`), ...args)).toMatchObject({ status: 0 });
        const { status, stderr } = await run('compress', TINY, at(`${name}-2.wpk`), ...args, ...machines);
        expect([status, stderr]).toEqual([0, expect.stringMatching(/jobs? took .*workers read/)]);
        expect(readFileSync(at(`${name}-2.wpk`)).equals(readFileSync(at(`${name}-1.wpk`)))).toBe(true);
      }
      const batch = ['batch', at('models.txt'), '-o', place, '--json'];
      const states = async (...args: string[]) =>
        lines((await run(...batch, ...args)).stdout).map((line) => JSON.parse(line).state);
      expect(await states()).toEqual(['done', 'done']);
      expect(readFileSync(at('lossless.wpk')).equals(readFileSync(at('lossless-1.wpk')))).toBe(true);
      expect(readFileSync(at('gpt-neo-tiny.wpk')).equals(readFileSync(at('lossy-1.wpk')))).toBe(true);
      expect(await states()).toEqual(['exists', 'exists']);
      expect(await states('--force')).toEqual(['done', 'done']);
      const { workers, kinds } = JSON.parse((await run('status', '--json')).stdout);
      expect(workers.map((worker: { kinds: string[] }) => worker.kinds.length).sort()).toEqual([1, 3]);
      for (const worker of workers) expect(worker).toMatchObject({ concurrency: 2, memoryBytes: 2e9 });
      const done = kinds.filter(({ completed }: { completed: number }) => completed > 0);
      expect(done.map(({ kind }: { kind: string }) => kind)).toEqual(['blocks', 'encode', 'matrix', 'model']);
      expect((await run('worker', '--kinds', 'blocks,rows')).status).toBe(2);
    } finally {
      const codes = await Promise.all(stops.map((stop) => stop()));
      await redis.remove();
      expect(codes).toEqual([0, 0]);
    }
  });
});

test('an output in a bucket needs a queue, in one line', () => {
  const said = complaint(weightpress('compress', TINY, '-o', 's3://bucket/name.wpk'));
  expect(said).toMatchObject({ status: 2, lines: 1 });
  expect(said.message).toMatch(/needs --queue and --store/);
});
