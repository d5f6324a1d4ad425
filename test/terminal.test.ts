import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { table } from '../src/cli/format.js';
import { progressLine } from '../src/cli/progress-line.js';
import { weightpress, weightpressWith } from './helpers/cli.js';
import { TINY } from './helpers/fixtures.js';

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
    import { withBars } from ${module('cli/progress-line.js')};
    import { loadRuntime } from ${module('onnx/node/runtime.js')};
    await loadRuntime();
    const progress = { stage: 'a', done: 1, total: 9, unit: 'tokens', secondsLeft: 61 };
    await withBars(async (onProgress) => [onProgress(progress), onProgress(progress)]);`;
  const said = (runtime: string) =>
    spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      env: { ...process.env, WEIGHTPRESS_RUNTIME: runtime },
      encoding: 'utf8',
    }).stderr;
  expect(said('wasm')).toMatch(/^weightpress: running on WebAssembly; .*onnxruntime-node.*\n$/);
  expect(said('native')).toBe('');
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
