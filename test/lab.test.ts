// @module-tag slow
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type Axe from 'axe-core';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHROMIUM, launch } from './helpers/chromium.js';
import { complaint, weightpress } from './helpers/cli.js';
import { needs } from './helpers/needs.js';
import { folder } from './helpers/safetensors.js';

const MODEL = 'examples/gpt-neo-tiny';
const place = folder({});
const page = join(place, 'lab.html');

interface Point {
  readonly method: string;
  readonly ratio: number;
  readonly bytes?: number;
  readonly relativeSquaredError: number;
  readonly bound: number;
  readonly klNats: number;
  readonly sentence: string;
  readonly byRole: readonly { readonly role: string; readonly relativeSquaredError: number }[];
}

describe('lab', () => {
  let report: {
    matrixBytes: number;
    points: Point[];
    curves: { method: string; role: string; shares: number[]; energy: number[]; gaussian: number[] }[];
  };
  const of = (method: string) => report.points.find((point) => point.method === method)!;
  let browser: Browser;
  afterAll(() => browser?.close());
  beforeAll(async () => {
    if (CHROMIUM) browser = await launch();
    const run = weightpress(
      'lab',
      MODEL,
      '--ratio',
      '8',
      '--tokens',
      '512',
      '--calibration-tokens',
      '4096',
      '--prompt',
      'Once upon',
      '--json',
      '--html',
      page,
    );
    expect(run.stderr).toBe('');
    [report] = JSON.parse(run.stdout);
  }, 120_000);

  test('every method ends within half a percent below the size, never above', () => {
    for (const { bytes, method } of report.points) {
      if (method === 'klt' && bytes === undefined) continue; // its bases may be all there is room for
      expect(bytes).toBeLessThanOrEqual(report.matrixBytes / 8);
      expect(bytes).toBeGreaterThan((report.matrixBytes / 8) * 0.99);
    }
  });

  test('sentences begin with the prompt', () => {
    for (const { sentence } of report.points) if (sentence) expect(sentence).toMatch(/^Once upon./);
    expect(of('none').sentence).toBeTruthy();
  });

  test('no transform passes the bound, and none compacts trained weights much more than doing nothing', () => {
    for (const method of ['none', 'rft', 'dft', 'dct', 'hadamard', 'haar', 'svd'])
      expect(of(method).relativeSquaredError).toBeGreaterThan(of(method).bound);
    const energy = (method: string, role: string) => {
      const curve = report.curves.find((entry) => entry.method === method && entry.role === role)!;
      return curve.energy[curve.shares.indexOf(0.1)]!;
    };
    for (const role of ['attention', 'MLP', 'token embedding'])
      for (const method of ['dft', 'dct', 'hadamard', 'haar'])
        expect(Math.abs(energy(method, role) - energy('none', role))).toBeLessThan(0.03);
    for (const role of ['attention', 'MLP', 'token embedding'])
      expect(energy('rft', role)).toBeLessThan(energy('none', role) - 0.1); // twice as many numbers
  });

  test('the quantizer of this project diverges ten times less at the same size', () => {
    expect(of('weightpress').klNats).toBeLessThan(of('none').klNats / 10);
    expect(of('weightpress').sentence).toMatch(/^Once upon/);
    expect(of('weightpress').byRole.map(({ role }) => role)).toContain('MLP');
  });

  test('the page needs nothing else', () => {
    const html = readFileSync(page, 'utf8');
    expect(html).not.toMatch(/<script|src=|https?:\/\/(?!www\.w3\.org)/);
    expect(html).toMatch(/Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'/);
    expect(statSync(page).size).toBeLessThan(500_000);
  });

  test('the page shows the divergence first, this project emphasized and named on its line, and explains every method', () => {
    const html = readFileSync(page, 'utf8');
    const titles = [...html.matchAll(/<svg [^>]*aria-label="([^"]*)"/g)].map(([, title]) => title);
    expect(titles[0]).toMatch(/^KL divergence/);
    expect(titles[1]).toMatch(/^Relative squared error/);
    const [first] = /<svg[\s\S]*?<\/svg>/.exec(html)!;
    expect(first).toMatch(/<text[^>]* class="emphasized"[^>]*>weightpress<\/text>/);
    for (const { method } of report.points) {
      expect(first).toContain(`>${method}</text>`);
      expect(html).toMatch(new RegExp(`<dt>${method}</dt><dd>.{20,}</dd>`));
    }
  });

  test('the page has every sentence whole, and every measure', () => {
    const html = readFileSync(page, 'utf8');
    const cells = [...html.matchAll(/<td[^>]*>([\s\S]*?)<\/td>/g)].map(([, cell]) => cell!);
    const escaped = (text: string) =>
      text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
    for (const { sentence, klNats, relativeSquaredError, bytes } of report.points) {
      if (bytes === undefined) continue;
      expect(cells).toContain(escaped(sentence));
      for (const value of [klNats, relativeSquaredError])
        expect(cells).toContain(String(Number(value.toPrecision(3))));
      expect(cells).toContain(bytes.toLocaleString('en-US'));
    }
  });

  describe('the page in Chromium', needs(CHROMIUM, 'Chromium'), () => {
    test.each([
      [1280, 'light'],
      [1280, 'dark'],
      [390, 'light'],
      [390, 'dark'],
    ] as const)('is accessible and as wide as the screen: %i, %s', async (width, colorScheme) => {
      const shown = await browser.newPage({ viewport: { width, height: 900 }, colorScheme, bypassCSP: true });
      await shown.goto(`file://${page}`);
      expect(await shown.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
      await shown.addScriptTag({ path: 'node_modules/axe-core/axe.min.js' });
      const { violations } = await shown.evaluate(() =>
        (globalThis as unknown as { axe: typeof Axe }).axe.run(),
      );
      expect(violations).toEqual([]);
      await shown.close();
    });

    test('prints on two pages', async () => {
      const printed = await browser.newPage();
      await printed.goto(`file://${page}`);
      const pdf = (await printed.pdf({ preferCSSPageSize: true })).toString('latin1');
      expect(pdf.match(/\/Type\s*\/Page\b/g)).toHaveLength(2);
      await printed.close();
    });
  });
});

test.each([
  [['--ratio', '0.5'], /expected --ratio above 1/],
  [['--html', 'examples'], /found a folder/],
  [['--text', 'nowhere.txt'], /nowhere\.txt/],
])('%j is refused in one line', (options, message) => {
  const { status, lines, stack, message: said } = complaint(weightpress('lab', MODEL, ...options));
  expect({ status, lines, stack }).toEqual({ status: 2, lines: 1, stack: false });
  expect(said).toMatch(message);
});
