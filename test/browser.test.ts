import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type * as Web from '../dist/browser/index.js';
import * as web from '../dist/browser/index.js';
import type * as Run from '../dist/browser/run.js';
import { planTensor } from '../dist/container/plan.js';
import { generate, open as openHere } from '../dist/index.js';
import { CHROMIUM, CHROMIUM_FLAGS } from './helpers/chromium.js';
import { weightpress } from './helpers/cli.js';
import { folder } from './helpers/safetensors.js';
import { type Ranges, serve } from './helpers/web-server.js';

/** The module as any page may load it. */
const PAGE = `<!doctype html><title>test</title>
<script type="module">
import * as web from '/web/index.js';
import * as run from '/web/run.js';
import * as ort from '/ort/ort.wasm.bundle.min.mjs';
Object.assign(globalThis, { run, ort, weightpress: web });
</script>`;

const place = folder();
const at = (name: string) => join(place, name);
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

const files = new Map<string, Uint8Array>();
let ranges: Ranges = 'sent';
let server: Awaited<ReturnType<typeof serve>>;
/** Digests by name, as this machine decodes them. */
const digests: Record<string, Record<string, string>> = {};

beforeAll(async () => {
  const made: [string, string[]][] = [
    ['lossless', []],
    ['lossy', ['--bits', '4', '--no-calibration']],
    ['transform', ['--codec', 'klt', '--bits', '4', '--no-calibration']],
  ];
  for (const [name, flags] of made) {
    const path = at(`${name}.wpk`);
    expect(weightpress('compress', 'examples/gpt-neo-tiny', '-o', path, ...flags).stderr).toBe('');
    files.set(`/${name}.wpk`, readFileSync(path));
    const model = await openHere(path);
    digests[name] = {};
    for (const { name: tensor } of model.tensors)
      digests[name][tensor] = sha256(await model.readTensor(tensor));
    await model.close();
  }
  const damaged = Uint8Array.from(files.get('/lossless.wpk')!);
  damaged[damaged.length >> 1]! ^= 1;
  files.set('/damaged.wpk', damaged);
  files.set('/nothing.wpk', new TextEncoder().encode('not a model at all, but long enough to be read'));
  for (const name of ['ort.wasm.bundle.min.mjs', 'ort-wasm-simd-threaded.wasm', 'ort-wasm-simd-threaded.mjs'])
    files.set(`/ort/${name}`, readFileSync(`node_modules/onnxruntime-web/dist/${name}`));
  for (const name of readdirSync('dist/web')) files.set(`/web/${name}`, readFileSync(`dist/web/${name}`));
  files.set('/index.html', new TextEncoder().encode(PAGE));
  server = await serve(files, () => ranges);
}, 120_000);
afterAll(() => server.close());

beforeEach(() => {
  ranges = 'sent';
  server.asked.length = 0;
});

/** Of models; workers load their code too. */
const sentBytes = () =>
  server.asked.reduce((sum, { url, bytes }) => sum + (url.endsWith('.wpk') ? bytes : 0), 0);

/** Names and digests of what `all` gives. */
async function decoded(model: Web.BrowserModel): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { name, bytes } of model.all()) found[name] = sha256(bytes);
  await model.close();
  return found;
}

describe('weightpress/browser, without a browser', () => {
  it.each(['lossless', 'lossy', 'transform'])(
    '%s: all tensors, from an address and from a Blob',
    async (name) => {
      const from = await web.open(`${server.address}/${name}.wpk`);
      expect(sentBytes()).toBeLessThan(2 ** 17);
      expect(await decoded(from)).toEqual(digests[name]);
      expect(sentBytes()).toBeLessThan(files.get(`/${name}.wpk`)!.length + 2 ** 18);
      const blob = new Blob([files.get(`/${name}.wpk`)! as Uint8Array<ArrayBuffer>]);
      expect(await decoded(await web.open(blob))).toEqual(digests[name]);
    },
  );

  it('one tensor costs its own frames', async () => {
    const model = await web.open(`${server.address}/lossless.wpk`);
    const entry = model.container.directory.tensors[5]!;
    const before = sentBytes();
    expect(sha256(await model.readTensor(entry.name))).toBe(digests.lossless![entry.name]);
    const planned = planTensor(entry).reduce((sum, { start, end }) => sum + end - start, 0);
    expect(sentBytes() - before).toBe(planned);
    await model.close();
  });

  it('a server without ranges sends all of it once', async () => {
    ranges = 'ignored';
    const progress: number[] = [];
    const onDownload = (done: number) => progress.push(done);
    const model = await web.open(`${server.address}/lossy.wpk`, { onDownload });
    expect(progress.at(-1)).toBe(files.get('/lossy.wpk')!.length);
    expect(await decoded(model)).toEqual(digests.lossy);
  });

  it.each(['damaged', 'nothing', 'absent'])('%s: refused in words', async (name) => {
    const reading = web.open(`${server.address}/${name}.wpk`).then(decoded);
    await expect(reading).rejects.toSatisfy(web.isInputError);
  });

  it('is ended by its signal, with what was given', async () => {
    const ending = new AbortController();
    const model = await web.open(`${server.address}/lossless.wpk`);
    const names: string[] = [];
    const reading = (async () => {
      for await (const { name } of model.all(ending.signal)) {
        names.push(name);
        ending.abort(new Error('enough'));
      }
    })();
    await expect(reading).rejects.toThrow('enough');
    expect(names.length).toBeLessThan(Object.keys(digests.lossless!).length);
    await model.close();
    await expect(
      web.open(`${server.address}/lossless.wpk`, { signal: AbortSignal.abort() }),
    ).rejects.toThrow();
  });

  it('a page downloads at most 40 kB of it', () => {
    const names = readdirSync('dist/web').filter((name) => name !== 'run.js');
    const total = names.reduce((sum, name) => sum + gzipSync(readFileSync(`dist/web/${name}`)).length, 0);
    expect(total).toBeLessThan(40_000);
  });
});

describe.skipIf(!CHROMIUM)('in Chromium, as a page loads it', () => {
  let browser: Browser;
  let page: Page;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM!, args: CHROMIUM_FLAGS });
    page = await browser.newPage();
    await page.goto(`${server.address}/index.html`);
    await page.waitForFunction('globalThis.weightpress');
  }, 60_000);
  afterAll(() => browser?.close());

  /** Opens in the page and digests there. */
  const inPage = (path: string, kind: 'url' | 'blob' | 'kept') =>
    page.evaluate(
      async ({ path, kind }) => {
        const { open, isInputError } = (globalThis as unknown as { weightpress: typeof Web }).weightpress;
        try {
          const from = kind === 'blob' ? await (await fetch(path)).blob() : path;
          const model = await open(from, { keep: kind === 'kept' });
          const digests: Record<string, string> = {};
          for await (const { name, bytes } of model.all()) {
            const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
            digests[name] = [...new Uint8Array(digest)]
              .map((byte) => byte.toString(16).padStart(2, '0'))
              .join('');
          }
          await model.close();
          return { digests, said: '', known: true };
        } catch (error) {
          return { digests: {}, said: String((error as Error).message), known: isInputError(error) };
        }
      },
      { path, kind },
    );

  it.each(['lossless', 'lossy', 'transform'])('%s: workers decode what Node decodes', async (name) => {
    for (const kind of ['url', 'blob'] as const)
      expect((await inPage(`/${name}.wpk`, kind)).digests).toEqual(digests[name]);
    expect(
      page.workers().length + server.asked.filter(({ url }) => /decode-worker/.test(url)).length,
    ).toBeGreaterThan(0);
  });

  it('damage that a worker finds is told in words', async () => {
    const { said, known } = await inPage('/damaged.wpk', 'url');
    expect(known).toBe(true);
    expect(said).toMatch(/damaged.wpk.*bytes \d+/);
  });

  it('without ranges too', async () => {
    ranges = 'ignored';
    expect((await inPage('/lossy.wpk', 'url')).digests).toEqual(digests.lossy);
  });

  it('generates what Node generates, token by token', async () => {
    const here = await openHere(at('lossless.wpk'));
    const { text } = await generate(here, 'The', { maxTokens: 12 });
    await here.close();
    const there = await page.evaluate(async () => {
      type Page = { weightpress: typeof Web; run: typeof Run; ort: Parameters<typeof Run.generate>[0] };
      const { weightpress, run, ort } = globalThis as unknown as Page;
      const model = await weightpress.open('/lossless.wpk');
      const heard: string[] = [];
      const onToken = (_: number, added: string) => heard.push(added);
      const generation = await run.generate(ort, model, 'The', { maxTokens: 12, device: 'webgpu', onToken });
      await model.close();
      return {
        text: generation.text,
        heard,
        threads: ort.env.wasm.numThreads,
        isolated: crossOriginIsolated,
      };
    });
    expect(there.text).toBe(text);
    expect(there.heard).toHaveLength(12);
    expect(there.isolated).toBe(true);
    expect(there.threads).toBeGreaterThan(0);
  }, 120_000);

  /** What the cache says and does, in the page. */
  const cache = (work: 'list' | 'damage' | 'evict') =>
    page.evaluate(async (what) => {
      const { DownloadCache } = (globalThis as unknown as { weightpress: typeof Web }).weightpress;
      const opened = (await DownloadCache.open())!;
      if (what === 'evict') await opened.evict(0);
      if (what === 'damage') {
        const root = await navigator.storage.getDirectory();
        const folder = await root.getDirectoryHandle('weightpress');
        for await (const file of folder.values()) {
          const piece = await (file as FileSystemDirectoryHandle).getFileHandle('0');
          const bytes = new Uint8Array(await (await piece.getFile()).arrayBuffer());
          bytes[1000]! ^= 1;
          const writable = await piece.createWritable();
          await writable.write(bytes);
          await writable.close();
        }
      }
      return (await opened.list()).map(({ address, haveBytes }) => [new URL(address).pathname, haveBytes]);
    }, work);

  it('keeps what it has fetched, finds damage in it, and forgets it', async () => {
    const length = files.get('/lossless.wpk')!.length;
    const kept = async () => {
      server.asked.length = 0;
      expect((await inPage('/lossless.wpk', 'kept')).digests).toEqual(digests.lossless);
      return sentBytes();
    };
    expect(await kept()).toBeGreaterThanOrEqual(length);
    expect(await cache('list')).toEqual([['/lossless.wpk', length]]);
    expect(await kept()).toBeLessThan(100);
    await cache('damage');
    expect(await kept()).toBeGreaterThanOrEqual(length);
    expect(await kept()).toBeLessThan(100);
    expect(await cache('evict')).toEqual([]);
    expect(await kept()).toBeGreaterThanOrEqual(length);
  });
});
