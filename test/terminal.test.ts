import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { table } from '../src/cli/format.js';
import { progressLine } from '../src/cli/progress-line.js';
import { weightpress, weightpressWith } from './helpers/cli.js';
import { TINY } from './helpers/fixtures.js';
import { folder } from './helpers/safetensors.js';

describe('a line of progress', () => {
  test.each([
    [
      { stage: 'quantizing', done: 12.4e6, total: 1316e6, unit: 'weights', secondsLeft: 360 },
      4,
      /^quantizing ░+ 12\.4 of 1,316 M weights, 3\.10 M\/s, 6 min 0 s left$/,
    ],
    [
      { stage: 'compressing', done: 1.2e9, total: 5.3e9, unit: 'bytes', secondsLeft: 9.6 },
      2.857,
      /^compressing █{5}░{15} 1\.20 of 5\.30 GB, 420 MB\/s, 10 s left$/,
    ],
    [
      { stage: 'loading', done: 3, total: 56, unit: 'tensors', secondsLeft: undefined },
      1,
      /^loading █░{19} 3 of 56 tensors, 3\/s$/,
    ],
  ] as const)(
    'has amounts in the unit of the total, throughput and the time left',
    (progress, seconds, line) => {
      expect(progressLine(progress, seconds, 79)).toMatch(line);
    },
  );

  test.each([20, 40, 60, 79])('fits %i columns', (columns) => {
    const stage = 'measuring a rather long name of a stage';
    const progress = { stage, done: 1e6, total: 2e9, unit: 'tokens', secondsLeft: 4000 } as const;
    expect(progressLine(progress, 1, columns).length).toBeLessThanOrEqual(columns);
  });

  test('a note takes the place of the amounts', () => {
    const progress = { stage: 'measuring', done: 1, total: 2, unit: 'tokens', secondsLeft: 1 } as const;
    expect(progressLine(progress, 1, 79, 'perplexity 4.50')).toMatch(
      /^measuring █{10}░{10} perplexity 4\.50, 1 s left$/,
    );
  });
});

test('a long run on WebAssembly says once what onnxruntime-node would bring', () => {
  const module = (path: string) => JSON.stringify(resolve('dist', path));
  const program = `
    import { register } from 'node:module';
    if (process.env.MISSING) register('data:text/javascript,' + encodeURIComponent(\`
      export function resolve(name, context, next) {
        if (name !== 'onnxruntime-node') return next(name, context);
        throw Object.assign(new Error("Cannot find package 'onnxruntime-node'"), { code: 'ERR_MODULE_NOT_FOUND' });
      }\`));
    const { withBars } = await import(${module('cli/progress-line.js')});
    const { loadRuntime } = await import(${module('onnx/node/runtime.js')});
    await loadRuntime();
    const progress = { stage: 'a', done: 1, total: 9, unit: 'tokens', secondsLeft: 61 };
    await withBars(async (onProgress) => [onProgress(progress), onProgress(progress)]);`;
  const said = (env: Readonly<Record<string, string>>) =>
    spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      env: { ...process.env, ...env },
      encoding: 'utf8',
    }).stderr;
  expect(said({ MISSING: '1' })).toMatch(/^weightpress: running on WebAssembly; .*onnxruntime-node.*\n$/);
  expect(said({ WEIGHTPRESS_RUNTIME: 'wasm' })).toBe('');
  expect(said({})).toBe('');
});

test('a runtime that is not one is refused', async () => {
  const { status, stderr } = await weightpressWith({ WEIGHTPRESS_RUNTIME: 'gpu' }, 'generate', TINY, 'The');
  expect(stderr).toBe('weightpress: expected WEIGHTPRESS_RUNTIME to be native or wasm, found "gpu"\n');
  expect(status).toBe(2);
});

test('a table has columns as wide as their longest cell, and no spaces at its ends', () => {
  const rows = [['wte', '1,024'], null, ['a\nb', '7']];
  expect(table(['name', 'n'], rows).split('\n')).toEqual([
    'name      n',
    '----  -----',
    'wte   1,024',
    '----  -----',
    'a b       7',
  ]);
});

describe('colors', () => {
  const CLAIM = ['audit', '--parameters', '1000', '--bytes', '10', '--lossless'];
  const escapes = (text: string) => text.includes('\x1b[');
  test.each([
    [{}, false],
    [{ FORCE_COLOR: '1' }, true],
    [{ FORCE_COLOR: '0' }, false],
    [{ FORCE_COLOR: '1', NO_COLOR: '1' }, false],
  ])('with %j on a pipe: %s', async (env, colored) => {
    const { stdout } = await weightpressWith({ FORCE_COLOR: '', NO_COLOR: '', ...env }, ...CLAIM);
    expect(escapes(stdout)).toBe(colored);
    expect(stdout).toContain('contradicted');
  });
});

describe('--quiet and --verbose', () => {
  test('--verbose reports stages with their seconds, --quiet nothing, and both are refused', () => {
    const analyze = (...flags: string[]) => weightpress('analyze', TINY, ...flags);
    expect(analyze('--verbose').stderr).toMatch(/^reading: \d+\.\d s\n$/);
    expect(analyze('--quiet').stderr).toBe('');
    expect(analyze('-q').stdout).toBe(analyze().stdout);
    expect(analyze('-q', '-v')).toMatchObject({ status: 2 });
  });

  test('--verbose prints the stack of an error', () => {
    const { status, stderr } = weightpress('analyze', 'nowhere', '-v');
    expect(status).toBe(2);
    expect(stderr).toMatch(/nowhere.*\n.*\n\s+at /);
  });
});

describe('outputs', () => {
  const place = folder();
  const inPlace = (...args: string[]) =>
    spawnSync(process.execPath, [resolve('dist/cli/main.js'), ...args], { cwd: place, encoding: 'utf8' });
  cpSync(TINY, join(place, 'tiny'), { recursive: true });

  test('--dry-run prints what would be written, and writes nothing', () => {
    const lossless = inPlace('compress', 'tiny', '--dry-run', '--exclude', 'README.md');
    expect(lossless.stdout).toMatch(/model\.safetensors +2\.70 MB {2}56 tensors \(BF16\)/);
    expect(lossless.stdout).toMatch(/left out: README\.md/);
    expect(lossless.stdout).toMatch(/4 files, .* into tiny\.wpk; dry run: nothing was written\n$/);
    const lossy = JSON.parse(inPlace('compress', 'tiny', '--bits', '3', '--dry-run', '--json').stdout);
    expect(lossy).toMatchObject({ output: 'tiny.wpk', budget: { bits: 3 }, written: false });
    expect(lossy.rows[0]).toEqual({ treatment: 'quantized', tensors: 26, weights: 1_343_488 });
    expect(readdirSync(place)).toEqual(['tiny']);
  });

  test('are named after the input, or by an argument or --output, not both', () => {
    expect(inPlace('compress', 'tiny').stdout).toMatch(/written to tiny\.wpk\n$/);
    expect(inPlace('decompress', 'tiny.wpk', '--dry-run').stderr).toBe(
      'weightpress: tiny: already exists and is not empty; --force replaces it\n',
    );
    expect(inPlace('decompress', 'tiny.wpk', 'restored').status).toBe(0);
    expect(readFileSync(join(place, 'restored/config.json'))).toEqual(
      readFileSync(join(TINY, 'config.json')),
    );
    expect(inPlace('compress', 'tiny', 'a.wpk', '-o', 'b.wpk')).toMatchObject({
      status: 2,
      stderr: 'weightpress: the output is named twice: a.wpk and --output b.wpk\n',
    });
    expect(readdirSync(place)).toEqual(['restored', 'tiny', 'tiny.wpk']);
  });

  test.each([
    [['compress', 'tiny', '-o', '-'], /--output cannot be written to standard output/],
    [['compress', 'tiny', '-'], /the output cannot be written to standard output/],
    [['verify', '-'], /a model cannot be read from standard input/],
    [['lab', 'tiny', '--html', '-'], /--html cannot be written to standard output/],
  ])('%j: - is no file', (args, message) => {
    const { status, stderr } = inPlace(...args);
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
    expect(readdirSync(place)).not.toContain('-');
  });

  test.each([
    ['lab', 'tiny', '--html', 'tiny/config.json'],
    ['evaluate', 'tiny', '--text', resolve('examples/held-out.txt'), '--save-logits', 'tiny/tokenizer.json'],
    ['evaluate', 'tiny', '--text', 'tiny/README.md', '--save-logits', 'tiny/README.md'],
  ])('%s %s: no file that is read is replaced, with --force neither', (...args) => {
    const { status, stderr } = inPlace(...args, '--force');
    expect(stderr).toMatch(/^weightpress: tiny\/\S+: the output is the input; nothing was written\n$/);
    expect(status).toBe(2);
    for (const name of readdirSync(TINY))
      expect(readFileSync(join(place, 'tiny', name)).equals(readFileSync(join(TINY, name))), name).toBe(true);
  });
});

describe('standard input', () => {
  const given = (input: string, ...args: string[]) =>
    spawnSync(process.execPath, ['dist/cli/main.js', ...args], { input, encoding: 'utf8' });

  test('is the prompt of generate, without its last line break', () => {
    const { stdout } = given('It was a dark\n', 'generate', TINY, '-', '--tokens', '2');
    expect(stdout).toMatch(/^It was a dark[^\n]+\n$/);
  });

  test('is not echoed before a model that cannot be opened is refused', () => {
    expect(given('It was', 'generate', 'nowhere', '-')).toMatchObject({ status: 2, stdout: '' });
  });

  test('is a claim', () => {
    const { stdout, status } = given('ratio: 853\nlossless: true\n', 'audit', '-', '--json');
    expect(status).toBe(1);
    expect(JSON.parse(stdout).verdicts).toEqual({ supported: 0, contradicted: 1, 'cannot be checked': 0 });
  });
});
