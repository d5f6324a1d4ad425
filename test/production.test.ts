// @module-tag slow
// The page of docs/browser.md, built for production, served with and without cross-origin isolation.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Browser } from 'playwright-core';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compress, generate, open } from '../src/index.js';
import { CHROMIUM, launch } from './helpers/chromium.js';
import { needs } from './helpers/needs.js';
import { folder } from './helpers/safetensors.js';
import { serve, USUAL } from './helpers/web-server.js';

const [, README_CODE] = /## Browser[\s\S]*?```js\n([\s\S]*?)```/.exec(readFileSync('README.md', 'utf8'))!;
const [, CODE] = /## Running it[\s\S]*?```js\n([\s\S]*?)```/.exec(readFileSync('docs/browser.md', 'utf8'))!;
const PAGE = '<!doctype html><title>test</title><body><script type="module" src="./main.js"></script>';

/** Builds a page inside the project, where the package's own name leads to it. @returns its files by path. */
async function built(code: string): Promise<Map<string, Uint8Array>> {
  const root = resolve('test/bundled-production');
  const outDir = join(folder(), 'out');
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, 'main.js'), code);
  writeFileSync(join(root, 'index.html'), PAGE);
  try {
    await build({ root, base: './', logLevel: 'error', configFile: false, build: { outDir } });
  } finally {
    rmSync(root, { recursive: true });
  }
  const files = new Map<string, Uint8Array>();
  for (const entry of readdirSync(outDir, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) files.set(path.slice(outDir.length), readFileSync(path));
  }
  return files;
}

describe('the page of docs/browser.md, built by Vite', needs(CHROMIUM, 'Chromium'), () => {
  let browser: Browser;
  let model: Uint8Array;
  let text: string;

  beforeAll(async () => {
    const file = join(folder(), 'model.wpk');
    await compress('examples/gpt-neo-tiny', file);
    model = readFileSync(file);
    const opened = await open(file);
    text = (await generate(opened, 'Once upon a time', { maxTokens: 50 })).text!;
    await opened.close();
    browser = await launch();
  });
  afterAll(() => browser?.close());

  /** Opens a page and waits until its text has the length of the model's, or `globalThis.failure` is set. */
  async function visit(files: ReadonlyMap<string, Uint8Array>, isolated: boolean) {
    const server = await serve(new Map([...files, ['/model.wpk', model]]), { ...USUAL, isolated });
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(error.message));
    try {
      await page.goto(`${server.address}/index.html`);
      await page.waitForFunction(
        (length) => document.body.textContent.length >= length || 'failure' in globalThis,
        text.length,
        { timeout: 30_000 },
      );
      return {
        errors,
        text: await page.evaluate(() => document.body.textContent),
        failure: await page.evaluate(() => (globalThis as { failure?: string }).failure),
        threads: page.workers().length,
        isIsolated: await page.evaluate(() => crossOriginIsolated),
      };
    } finally {
      await page.close();
      server.close();
    }
  }

  it('generates what Node generates: isolated, on several threads; and otherwise on one', async () => {
    const files = await built(CODE!);
    const isolated = await visit(files, true);
    expect(isolated).toMatchObject({ errors: [], text, isIsolated: true });
    const plain = await visit(files, false);
    expect(plain).toMatchObject({ errors: [], text, isIsolated: false });
    expect(isolated.threads).toBeGreaterThan(plain.threads);
  });

  it('generates by the ten lines of the README, too', async () => {
    const code = README_CODE!.replace("open('small.wpk'", "open('model.wpk'");
    expect(await visit(await built(code), true)).toMatchObject({ errors: [], text });
  });

  it("with the runtime in the page's own chunk: load rejects, and says what to do", async () => {
    const inOneChunk = CODE!
      .replace(/const ort = .*/, '')
      .replace(/^/, "import * as ort from 'onnxruntime-web/wasm';\n")
      .replace(
        / = await load\((.*)\);/,
        ' = await load($1).catch(({ message }) => (globalThis.failure = message));',
      );
    const { failure } = await visit(await built(inOneChunk), true);
    expect(failure).toMatch(/^a thread of onnxruntime-web failed: .*; import it on demand/);
  });
});
