import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { table } from '../src/cli/format.js';
import { summaryLine, summaryTable } from '../src/cli/summary-table.js';
import { tensorTable } from '../src/cli/tensor-table.js';
import type { Summary } from '../src/wpk/summary.js';
import { weightpress } from './helpers/cli.js';
import { folder } from './helpers/safetensors.js';

// What is printed fits a terminal of 80 columns.

const TINY = 'examples/gpt-neo-tiny';
const width = (text: string) => Math.max(...text.split('\n').map(({ length }) => length));

describe('a table', () => {
  test('has headings of several lines, aligned at the bottom', () => {
    expect(table(['name', 'bits per\nweight'], [['a', '10.5'], null, ['bc', '2']]).split('\n')).toEqual([
      '      bits per',
      'name    weight',
      '----  --------',
      'a         10.5',
      '----  --------',
      'bc           2',
    ]);
  });

  test('shortens its first column, and nothing else, to fit a terminal', () => {
    const name = 'transformer.h.0.attn.attention.out_proj.weight';
    const of = (columns: number) =>
      table(
        ['tensor', 'bits'],
        [
          [name, '10.616'],
          ['w', '2'],
        ],
        undefined,
        columns,
      );
    expect(of(80)).toContain(name);
    expect(width(of(80))).toBe(46 + 2 + 6);
    expect(of(54)).toBe(of(80));
    expect(of(30).split('\n').slice(2)).toEqual([
      'transformer…roj.weight  10.616',
      'w                            2',
    ]);
    expect(width(of(30))).toBe(30);
    expect(width(of(5))).toBe(12 + 2 + 6);
  });

  test('is whole where no terminal prints it', () => {
    expect(table(['tensor'], [['x'.repeat(500)]])).toContain('x'.repeat(500));
  });
});

describe('the summary of a file', () => {
  const part = (part: string, elements: number, originalBytes: number, compressedBytes: number) => ({
    part,
    tensors: 1,
    elements,
    storedElements: elements,
    originalBytes,
    compressedBytes,
  });
  /** GPT-Neo 1.3B as float32, `scale` times as large. */
  const summary = (scale: number): Summary => {
    const rows = [
      part('token embedding', 102_926_336 * scale, 411_705_344 * scale, 341_000_000 * scale),
      part('position embedding', 1_212_649_472 * scale, 4_850_597_888 * scale, 4_017_123_456 * scale),
      part('config, tokenizer, other files', 0, 4_000_000, 1_000_000),
    ];
    const sum = (key: 'elements' | 'originalBytes' | 'compressedBytes') =>
      rows.reduce((total, row) => total + row[key], 0);
    const [weights, fileBytes, originalBytes] = [
      sum('elements'),
      sum('compressedBytes'),
      sum('originalBytes'),
    ];
    const lengths = { weights, fileBytes, originalBytes, tensorBytes: 4 * weights };
    return { rows, ...lengths, fileBytesWithoutSideFiles: fileBytes - 1_000_000 } as unknown as Summary;
  };

  test.each([1, 50, 500])('fits 80 columns at %i times the 1.3 billion weights of GPT-Neo', (scale) => {
    expect(width(summaryTable(summary(scale)))).toBeLessThanOrEqual(80);
    expect(width(summaryLine(summary(scale)))).toBeLessThanOrEqual(80);
  });

  test('is exact, and gives side files a short name', () => {
    const lines = summaryTable(summary(1)).split('\n');
    expect(lines.at(-1)).toMatch(
      /^the whole file +1,315,575,808 +5,266,303,232 +4,359,123,456 +1\.208 +26\.508$/,
    );
    expect(lines.at(-3)).toMatch(/^other files +4,000,000 +1,000,000 +4\.000$/);
  });
});

describe('a table of tensors', () => {
  const tensor = (name: string, dtype: string, sameAs?: string) => ({ name, dtype, shape: [4, 8], sameAs });

  test('says once what dtype all have, and which are identical', () => {
    const text = tensorTable([tensor('a', 'F32'), tensor('b', 'F32', 'a'), tensor('c', 'F32', 'a')], {
      'bits per\nelement': () => '26.5',
    });
    expect(text).toBe(
      [
        'dtype of all tensors: F32\n',
        '               bits per',
        'tensor  shape   element',
        '------  -----  --------',
        'a         4x8      26.5',
        '\nidentical to a:',
        '  b',
        '  c',
      ].join('\n'),
    );
  });

  test('has a column of dtypes where they differ', () => {
    expect(tensorTable([tensor('a', 'F32'), tensor('b', 'Q4_K')], {})).toMatch(/^b +Q4_K +4x8$/m);
  });
});

test('compress, inspect, analyze and catalog stay within 80 columns', { tags: 'slow' }, () => {
  const place = folder();
  const wpk = join(place, 'tiny.wpk');
  for (const args of [
    ['compress', TINY, '-o', wpk],
    ['inspect', wpk, '--tensors'],
    ['analyze', TINY, '--tensors'],
    ['catalog', place, '--verify'],
  ]) {
    const { status, stdout } = weightpress(...args);
    expect(status).toBe(0);
    expect(width(stdout.replaceAll(place, '')), args[0]).toBeLessThanOrEqual(80);
  }
});
