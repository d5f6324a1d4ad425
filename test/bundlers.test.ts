// @module-tag slow
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Browser } from 'playwright-core';
import { build as buildWithVite } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import webpack from 'webpack';
import { compress, open } from '../src/index.js';
import { CHROMIUM, launch } from './helpers/chromium.js';
import { needs } from './helpers/needs.js';
import { folder } from './helpers/safetensors.js';
import { serve } from './helpers/web-server.js';

const ENTRY = `
import { open } from 'weightpress/browser';
import { load } from 'weightpress/browser/run';
const model = await open('/tiny.wpk');
const names = [];
for await (const { name } of model.all()) names.push(name);
await model.close();
Object.assign(globalThis, { names, load: typeof load });
`;
const PAGE = '<!doctype html><title>test</title><script type="module" src="./main.js"></script>';

/** Inside the project, so that the package's own name leads to it, as it does where it is installed. */
const source = resolve('test/bundled');
const place = folder();

const BUNDLERS: Readonly<Record<string, (outDir: string) => Promise<unknown>>> = {
  vite: (outDir) =>
    buildWithVite({
      root: source,
      base: './',
      logLevel: 'error',
      configFile: false,
      build: { outDir, target: 'es2022', emptyOutDir: true },
    }),
  webpack: (outDir) =>
    new Promise((done, failed) => {
      webpack(
        {
          mode: 'production',
          entry: join(source, 'main.js'),
          output: { path: outDir, filename: 'main.js', module: true, chunkFormat: 'module' },
          experiments: { outputModule: true },
          performance: false,
        },
        (error, stats) =>
          error || stats?.hasErrors() ? failed(error ?? new Error(stats?.toString())) : done(stats),
      );
    }),
};

describe('weightpress/browser through a bundler', needs(CHROMIUM, 'Chromium'), () => {
  let browser: Browser;
  let names: string[];
  let file: Uint8Array;

  beforeAll(async () => {
    mkdirSync(source, { recursive: true });
    writeFileSync(join(source, 'main.js'), ENTRY);
    writeFileSync(join(source, 'index.html'), PAGE);
    const model = await open('examples/gpt-neo-tiny');
    await compress(model, join(place, 'tiny.wpk'));
    names = model.tensors.map(({ name }) => name);
    await model.close();
    file = readFileSync(join(place, 'tiny.wpk'));
    browser = await launch();
  }, 60_000);
  afterAll(async () => {
    rmSync(source, { recursive: true, force: true });
    await browser?.close();
  });

  it.each(Object.keys(BUNDLERS))(
    '%s finds the module and its worker',
    async (name) => {
      const outDir = join(place, name);
      await BUNDLERS[name]!(outDir);
      const files = new Map([['/tiny.wpk', file]]);
      files.set('/index.html', Buffer.from(PAGE));
      for (const entry of readdirSync(outDir, { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name);
        if (entry.isFile()) files.set(path.slice(outDir.length), readFileSync(path));
      }
      const server = await serve(files);
      const page = await browser.newPage();
      const errors: string[] = [];
      page.on('pageerror', (error) => errors.push(error.message));
      await page.goto(`${server.address}/index.html`);
      const found = await page
        .waitForFunction('globalThis.names && { names, load }', undefined, { timeout: 20_000 })
        .then((handle) => handle.jsonValue());
      expect(errors).toEqual([]);
      expect(found).toEqual({ names, load: 'function' });
      const scripts = new Set(server.asked.map(({ url }) => url).filter((url) => url.endsWith('.js')));
      expect(scripts.size).toBeGreaterThan(1); // the worker is one of its own
      await page.close();
      server.close();
    },
    60_000,
  );
});
