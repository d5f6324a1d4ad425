import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inspect } from '../dist/index.js';
import { CHROMIUM, CHROMIUM_FLAGS } from './helpers/chromium.js';
import { weightpress } from './helpers/cli.js';
import { folder } from './helpers/safetensors.js';
import { serve } from './helpers/web-server.js';

const BUILT = 'dist/page';
const place = folder();

describe.skipIf(!CHROMIUM)('the page', () => {
  let server: Awaited<ReturnType<typeof serve>>;
  let browser: Browser;
  let page: Page;
  const errors: string[] = [];

  beforeAll(async () => {
    // the model that it opens by itself, without the time that calibration takes
    mkdirSync('web/public', { recursive: true });
    if (!existsSync('web/public/tiny.wpk'))
      weightpress(
        'compress',
        'examples/gpt-neo-tiny',
        '-o',
        'web/public/tiny.wpk',
        '--bits',
        '4',
        '--no-calibration',
      );
    execFileSync('node_modules/.bin/vite', ['build', 'web', '--logLevel', 'error']);
    const files = new Map<string, Uint8Array>();
    for (const entry of readdirSync(BUILT, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile()) files.set(`/${path.slice(BUILT.length + 1)}`, readFileSync(path));
    }
    server = await serve(files);
    browser = await chromium.launch({ executablePath: CHROMIUM!, args: CHROMIUM_FLAGS });
    page = await browser.newPage({ viewport: { width: 360, height: 740 } });
    page.on('pageerror', (error) => errors.push(error.message));
    await page.goto(`${server.address}/index.html`);
    await page.getByText('every block is sound').waitFor({ timeout: 60_000 });
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  it('shows the bundled model: parts that sum to the file, where it is from, its licence, its loss', async () => {
    const { fileBytes, generator } = await inspect('web/public/tiny.wpk');
    const cells = await page.locator('#roles td:nth-child(2)').allTextContents();
    expect(cells.map((text) => Number(text.replaceAll(',', ''))).reduce((a, b) => a + b, 0)).toBe(fileBytes);
    const facts = await page.locator('#facts').textContent();
    expect(facts).toContain(generator);
    expect(facts).toMatch(/licencecc0-1.0 \(README.md\)/);
    expect(facts).toMatch(/loss(lossy|KL divergence)/);
  });

  it('fits a phone without scrolling sideways', async () => {
    const [wide, view] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    expect(wide).toBeLessThanOrEqual(view!);
  });

  it('continues a prompt, by keyboard alone, and says how fast', async () => {
    await page.getByLabel('Prompt').fill('The');
    await page.getByLabel('Prompt').press('Tab');
    await page.keyboard.press('Enter');
    await page.getByText(/\d+ tokens, [\d.]+ a second/).waitFor({ timeout: 60_000 });
    expect((await page.locator('#written').textContent())!.length).toBeGreaterThan(20);
  }, 90_000);

  it('says in words what is wrong with a file, and takes the next', async () => {
    const bytes = readFileSync('web/public/tiny.wpk');
    const damaged = Uint8Array.from(bytes);
    damaged[damaged.length >> 1]! ^= 1;
    writeFileSync(join(place, 'damaged.wpk'), damaged);
    writeFileSync(join(place, 'other.txt'), 'this is no model, but long enough to be looked at');
    const input = page.locator('#file');
    await input.setInputFiles(join(place, 'damaged.wpk'));
    await page.getByText(/damaged.wpk.*bytes \d+/).waitFor();
    await input.setInputFiles(join(place, 'other.txt'));
    await page.getByText(/other.txt.*not a .wpk file/).waitFor();
    await input.setInputFiles('web/public/tiny.wpk');
    await page.getByText('every block is sound').waitFor();
    expect(errors).toEqual([]);
  });

  it('asks nobody but its own server', async () => {
    const origins = await page.evaluate(() => [
      ...new Set(performance.getEntriesByType('resource').map(({ name }) => new URL(name).origin)),
    ]);
    expect(origins.filter((origin) => origin !== server.address && origin !== 'null')).toEqual([]);
  });
});
