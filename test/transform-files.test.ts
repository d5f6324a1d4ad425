import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { complaint, weightpress } from './helpers/cli.js';
import { leftovers } from './helpers/leftovers.js';
import { folder } from './helpers/safetensors.js';

const MODEL = 'examples/gpt-neo-tiny';
const place = folder({});
const at = (name: string) => join(place, name);
const compress = (output: string, ...options: string[]) =>
  weightpress('compress', MODEL, '-o', at(output), '-f', '--json', ...options);

test('a transform is a codec like any other: its file is sound, decodes and states its loss', {
  tags: 'slow',
}, () => {
  const made = JSON.parse(compress('rft.wpk', '--codec', 'rft', '--ratio', '9').stdout);
  expect(made.fileBytes).toBe(statSync(at('rft.wpk')).size);
  expect(made.originalBytes / made.fileBytes).toBeGreaterThanOrEqual(9);
  expect(made.originalBytes / made.fileBytes).toBeLessThan(9.05);
  expect(made.quality.kl.mean).toBeGreaterThan(0.1);
  const verified = JSON.parse(weightpress('verify', at('rft.wpk'), '--against', MODEL, '--json').stdout);
  expect(verified).toMatchObject({ good: true, bitExact: false });
  expect(verified.error.relativeSquaredError).toBeCloseTo(made.weightError.relativeSquaredError, 12);
  expect(weightpress('decompress', at('rft.wpk'), '-o', at('restored')).status).toBe(0);
  expect(readFileSync(at('restored/config.json'))).toEqual(readFileSync(join(MODEL, 'config.json')));
});

test.each([
  [['--codec', 'klt', '--keep-largest', '--dimensions', '2', '--block', '16'], '2'],
  [['--codec', 'svd'], '2'],
  [['--codec', 'hadamard', '--block', '256'], '1'],
])('with %j, a transform meets its budget', { tags: 'slow' }, (options, bits) => {
  const made = JSON.parse(compress('any.wpk', ...options, '--bits', bits, '--no-calibration').stdout);
  const used = (made.fileBytesWithoutSideFiles * 8) / 1_348_864;
  expect(used).toBeLessThanOrEqual(Number(bits));
  expect(used).toBeGreaterThan(Number(bits) * 0.99);
  expect(weightpress('verify', at('any.wpk')).status).toBe(0);
});

test('flipped bytes are found', { tags: 'slow' }, () => {
  compress('flip.wpk', '--codec', 'haar', '--bits', '2', '--no-calibration');
  const bytes = readFileSync(at('flip.wpk'));
  for (const share of [0.3, 0.6, 0.9]) {
    const bad = Buffer.from(bytes);
    bad[Math.floor(bytes.length * share)]! ^= 16;
    writeFileSync(at('bad.wpk'), bad);
    expect(weightpress('verify', at('bad.wpk')).status).toBe(1);
  }
});

describe('refused in one line', () => {
  const refusedInOneLine = (options: readonly string[], message: RegExp) => {
    const run = compress('no.wpk', ...options, ...(options.length > 2 ? ['--no-calibration'] : []));
    const { status, lines, stack, message: said } = complaint(run);
    expect({ status, lines, stack }).toEqual({ status: 2, lines: 1, stack: false });
    expect(said).toMatch(message);
    expect(existsSync(at('no.wpk'))).toBe(false);
    expect(leftovers(at('no.wpk'))).toEqual([]);
  };
  test.each<[string[], RegExp]>([
    [['--codec', 'rft'], /--codec rft needs a budget/],
    [['--codec', 'rft', '--kl', '0.1'], /a transform takes a budget of bits, size or ratio, found kl/],
    [['--codec', 'dct', '--bits', '3', '--block', '48'], /a power of two from 4 to 256, found 48/],
    [['--codec', 'dct', '--bits', '3', '--tune'], /use no calibration/],
    [['--bits', '3', '--block', '64'], /need --codec with a transform/],
    [['--codec', 'lossless', '--bits', '3'], /excludes a budget/],
  ])('%j', refusedInOneLine, 60_000);

  test('["--codec","rft","--ratio","853"]', { tags: 'slow' }, () =>
    refusedInOneLine(
      ['--codec', 'rft', '--ratio', '853'],
      /cannot be met; the nearest that can is \d+ bytes/,
    ),
  );
});
