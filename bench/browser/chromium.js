// Chromium and the page of the benches, bundled.
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { build } from 'rolldown';
import { print } from '../../dist/cli/terminal.js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** The page's module, its workers and the runtime, as files to serve. */
export async function pageFiles(scratch) {
  const dir = join(scratch, 'page');
  await build({
    input: { page: here('page.js'), 'decode-worker': here('../../dist/browser/decode-worker.js') },
    platform: 'browser',
    external: [/^\/ort\//],
    output: { dir, entryFileNames: '[name].js', chunkFileNames: '[name].js', minify: true },
  });
  writeFileSync(
    join(dir, 'index.html'),
    '<!doctype html><title>bench</title><script type="module" src="/page.js"></script>',
  );
  const files = new Map(readdirSync(dir).map((name) => [`/${name}`, { path: join(dir, name) }]));
  const runtime = here('../../node_modules/onnxruntime-web/dist');
  for (const name of ['ort.wasm.bundle.min.mjs', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'])
    files.set(`/ort/${name}`, { path: join(runtime, name) });
  return files;
}

export async function openPage(browser, address) {
  const page = await browser.newPage();
  page.on('pageerror', (error) => print(error.message));
  await page.goto(`${address}/index.html`);
  await page.waitForFunction('globalThis.bench');
  return page;
}

export const call = (page, name, ...args) =>
  page.evaluate(([name, args]) => globalThis.bench[name](...args), [name, args]);

export const launch = () =>
  chromium.launch({
    executablePath: ['/usr/bin/chromium', '/usr/bin/google-chrome'].find((path) => existsSync(path)),
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  });
