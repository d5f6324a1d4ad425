// @module-tag slow
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type * as Web from '../src/browser/index.js';
import * as web from '../src/browser/index.js';
import { open as openHere } from '../src/index.js';
import { planTensor } from '../src/wpk/plan.js';
import { CHROMIUM, digestsIn, launch, moduleFiles, openPage, type PageGlobals } from './helpers/chromium.js';
import { weightpress } from './helpers/cli.js';
import { withDirectory } from './helpers/directory.js';
import { needs } from './helpers/needs.js';
import { f32, folder, safetensors, seededRandom } from './helpers/safetensors.js';
import { serve, USUAL } from './helpers/web-server.js';

const place = folder();
const at = (name: string) => join(place, name);
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

const files = moduleFiles();
const behavior = { ...USUAL };
let server: Awaited<ReturnType<typeof serve>>;
/** Digests by name, as this machine decodes them. */
const digests: Record<string, Record<string, string>> = {};

beforeAll(async () => {
  const random = seededRandom(11);
  const large = Array.from({ length: 5 }, (_, i) =>
    f32(`w${i}`, [1024, 1024], Float32Array.from({ length: 2 ** 20 }, random)),
  );
  const model = folder({ 'model.safetensors': safetensors(large) });
  const tiny = 'examples/gpt-neo-tiny';
  const made: [string, string, string[]][] = [
    ['lossless', tiny, []],
    ['lossy', tiny, ['--bits', '4', '--no-calibration']],
    ['transform', tiny, ['--codec', 'klt', '--bits', '4', '--no-calibration']],
    ['large', model, []],
  ];
  for (const [name, from, flags] of made) {
    const path = at(`${name}.wpk`);
    expect(weightpress('compress', from, '-o', path, ...flags).stderr).toBe('');
    files.set(`/${name}.wpk`, readFileSync(path));
    const model = await openHere(path);
    digests[name] = {};
    for (const { name: tensor } of model.tensors)
      digests[name][tensor] = sha256(await model.readTensor(tensor));
    await model.close();
  }
  const good = readFileSync(at('lossless.wpk'));
  files.set('/damaged.wpk', good.with(good.length >> 1, good[good.length >> 1]! ^ 1));
  files.set('/cut.wpk', good.subarray(0, good.length - 1000));
  files.set('/nothing.wpk', new TextEncoder().encode('not a model at all, but long enough to be read'));
  files.set(
    '/other-hash.wpk',
    withDirectory(good, (directory) => {
      directory.tensors[5].sha256 = '0'.repeat(64);
    }),
  );
  server = await serve(files, behavior);
}, 120_000);
afterAll(() => server.close());

beforeEach(() => {
  Object.assign(behavior, USUAL);
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

const REFUSED: [string, RegExp][] = [
  ['damaged', /damaged\.wpk.*bytes \d+/],
  ['cut', /cut\.wpk/],
  ['nothing', /nothing\.wpk.*not a \.wpk file/],
  ['absent', /absent\.wpk.*404/],
  ['other-hash', /other-hash\.wpk.*SHA-256 of the elements is [0-9a-f]{64}, expected 0{64}/],
];

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

  it.each(['lossless', 'lossy'])('%s: all tensors take few requests', async (name) => {
    await decoded(await web.open(`${server.address}/${name}.wpk`));
    expect(server.asked.filter(({ url }) => url === `/${name}.wpk`).length).toBeLessThan(12);
  });

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
    behavior.ranges = 'ignored';
    const progress: number[] = [];
    const onProgress = ({ done }: { done: number }) => progress.push(done);
    const model = await web.open(`${server.address}/lossy.wpk`, { onProgress });
    expect(progress.at(-1)).toBe(files.get('/lossy.wpk')!.length);
    expect(await decoded(model)).toEqual(digests.lossy);
  });

  it.each(REFUSED)('%s: refused in words', async (name, message) => {
    const reading = web.open(`${server.address}/${name}.wpk`).then(decoded);
    await expect(reading).rejects.toSatisfy(web.isInputError);
    await expect(reading).rejects.toThrow(message);
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

  it('a page downloads at most 52 kB of it, and what reads GGUF only for that', () => {
    const names = new Set(['index.js']);
    for (const name of names) {
      const text = readFileSync(`dist/web/${name}`, 'utf8').replaceAll(/\bimport\([^)]*\)/g, '');
      for (const [, imported] of text.matchAll(/["'`]\.\/([\w.-]+\.js)["'`]/g)) names.add(imported!);
    }
    expect(names).toContain('decode-worker.js');
    expect(names).not.toContain('model.js');
    const code = [...names].map((name) => readFileSync(`dist/web/${name}`, 'utf8')).join('');
    expect(code).toMatch(/import\(["'`]\.\/model\.js/);
    const total = [...names].reduce(
      (sum, name) => sum + gzipSync(readFileSync(`dist/web/${name}`)).length,
      0,
    );
    expect(total).toBeLessThan(52_000);
  });
});

describe('in Chromium, as a page loads it', needs(CHROMIUM, 'Chromium'), () => {
  let browser: Browser;
  let page: Page;
  const errors: string[] = [];
  beforeAll(async () => {
    browser = await launch();
    const context = await browser.newContext();
    page = await openPage(await context.newPage(), `${server.address}/index.html`, errors);
  }, 60_000);
  afterAll(() => browser?.close());

  it.each(['lossless', 'lossy', 'transform'])('%s: workers decode what Node decodes', async (name) => {
    for (const kind of ['url', 'blob'] as const)
      expect((await digestsIn(page, `/${name}.wpk`, kind)).digests).toEqual(digests[name]);
    expect(
      page.workers().length + server.asked.filter(({ url }) => /decode-worker/.test(url)).length,
    ).toBeGreaterThan(0);
  });

  it.each(REFUSED)('%s: told in words, and the page goes on', async (name, message) => {
    const { said, known } = await digestsIn(page, `/${name}.wpk`);
    expect(said).toMatch(message);
    expect(known).toBe(true);
    expect((await digestsIn(page, '/lossy.wpk')).digests).toEqual(digests.lossy);
    expect(errors).toEqual([]);
  });

  it('redirects are followed, at the price of one request each', async () => {
    expect((await digestsIn(page, '/elsewhere/lossy.wpk')).digests).toEqual(digests.lossy);
    const [redirected, sent] = [/^\/elsewhere/, /^\/lossy/].map(
      (pattern) => server.asked.filter(({ url }) => pattern.test(url)).length,
    );
    expect(redirected).toBeLessThanOrEqual(sent! + 1);
  });

  it('without ranges too, and again when the connection breaks', async () => {
    behavior.ranges = 'ignored';
    behavior.cut = { afterBytes: 100_000, times: 2 };
    expect((await digestsIn(page, '/lossy.wpk')).digests).toEqual(digests.lossy);
    expect(behavior.cut.times).toBe(0);
  });

  it.each([
    ['cannot be loaded', '/alone/index.js'],
    ['may not be started, being of another origin', 'http://localhost:PORT/web/index.js'],
  ])('where workers %s, blocks are decoded without', async (_, module) => {
    for (const [name, bytes] of [...files])
      if (/^\/web\/(?!decode-worker)/.test(name)) files.set(name.replace('/web/', '/alone/'), bytes);
    const address = module.replace('PORT', new URL(server.address).port);
    const html = Buffer.from(files.get('/index.html')!).toString().replace('/web/index.js', address);
    files.set('/alone.html', Buffer.from(html));
    const alone = await openPage(await browser.newPage(), `${server.address}/alone.html`);
    server.asked.length = 0;
    expect((await digestsIn(alone, '/lossy.wpk')).digests).toEqual(digests.lossy);
    expect(server.asked.some(({ url }) => url.includes('decode-worker'))).toBe(false);
    await alone.close();
  });

  it('the page of the guide works as it stands there', async () => {
    const [, html] = /```html\n([\s\S]*?)```/.exec(readFileSync('docs/browser.md', 'utf8'))!;
    files.set('/guide/index.html', Buffer.from(html!));
    for (const [name, bytes] of [...files])
      if (name.startsWith('/web/')) files.set(`/guide/weightpress/${name.slice('/web/'.length)}`, bytes);
    files.set('/guide/model.wpk', files.get('/lossy.wpk')!);
    const guide = await browser.newPage();
    guide.on('pageerror', (error) => errors.push(error.message));
    await guide.goto(`${server.address}/guide/index.html`);
    await guide.getByText(/transformer\.wte\.weight BF16 \[4096,128\] 1048576/).waitFor();
    await guide.close();
    expect(errors).toEqual([]);
  });

  it('a page that is not isolated', async () => {
    behavior.isolated = false;
    const other = await openPage(await browser.newPage(), `${server.address}/index.html`, errors);
    expect(await other.evaluate(() => crossOriginIsolated)).toBe(false);
    expect((await digestsIn(other, '/lossless.wpk')).digests).toEqual(digests.lossless);
    const threads = await other.evaluate(async () => {
      const { weightpress, run, ort } = globalThis as unknown as PageGlobals;
      const model = await weightpress.open('/lossless.wpk');
      await run.generate(ort, model, 'The', { maxTokens: 2 });
      await model.close();
      return ort.env.wasm.numThreads;
    });
    expect(threads).toBe(1);
    await other.close();
  }, 60_000);

  describe('what it keeps', () => {
    const length = () => files.get('/lossless.wpk')!.length;
    /** Bytes sent for reading all of the kept file, in a page. */
    const kept = async (where = page) => {
      const before = sentBytes();
      expect((await digestsIn(where, '/lossless.wpk', 'kept')).digests).toEqual(digests.lossless);
      return sentBytes() - before;
    };
    /** What the cache says after `work`, in the page. */
    const cache = (work: 'list' | 'damage' | 'evict' | 'evict old') =>
      page.evaluate(async (what) => {
        const { DownloadCache } = (globalThis as unknown as PageGlobals).weightpress;
        const opened = (await DownloadCache.open())!;
        if (what === 'evict') await opened.evict({ maxBytes: 0 });
        if (what === 'evict old') await opened.evict({ usedBefore: new Date(Date.now() - 3_600_000) });
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
    beforeEach(() => cache('evict'));

    it('is not fetched again, even in part, unless it was damaged or forgotten', async () => {
      expect(await kept()).toBeGreaterThanOrEqual(length());
      expect(await cache('list')).toEqual([['/lossless.wpk', length()]]);
      expect(await kept()).toBeLessThan(100);
      await cache('damage');
      expect(await kept()).toBeLessThan(2 ** 20 + 100);
      expect(await cache('evict old')).toEqual([['/lossless.wpk', length()]]);
      expect(await kept()).toBeLessThan(100);
      expect(await cache('evict')).toEqual([]);
      expect(await kept()).toBeGreaterThanOrEqual(length());
    });

    it('resumes after the page was closed, and after broken connections', async () => {
      behavior.cut = { afterBytes: 300_000, times: 3 };
      const closing = await openPage(await page.context().newPage(), `${server.address}/index.html`);
      await closing.evaluate(async () => {
        const { weightpress } = globalThis as unknown as PageGlobals;
        const model = await weightpress.open('/large.wpk', { keep: true });
        for await (const _ of model.all()) return;
      });
      await closing.close();
      expect(behavior.cut.times).toBe(0);
      const [[, have]] = (await cache('list')) as [[string, number]];
      const whole = files.get('/large.wpk')!.length;
      expect(have).toBeGreaterThanOrEqual(2 ** 22);
      expect(have).toBeLessThan(whole - 2 ** 20);
      const before = sentBytes();
      expect((await digestsIn(page, '/large.wpk', 'kept')).digests).toEqual(digests.large);
      expect(sentBytes() - before).toBeLessThan(whole - have + 100);
    });

    it('is fetched once by two pages at the same time', async () => {
      const other = await openPage(await page.context().newPage(), `${server.address}/index.html`, errors);
      const before = sentBytes();
      await Promise.all([kept(), kept(other)]);
      await other.close();
      expect(sentBytes() - before).toBeLessThan(length() + 200);
    });

    it.each([
      ['longer', '/large.wpk'],
      ['of the same length', '/damaged.wpk'],
    ])('is another file when the server has one that is %s', async (_, other) => {
      await kept();
      const before = files.get('/lossless.wpk')!;
      files.set('/lossless.wpk', files.get(other)!);
      const { digests: found, said } = await digestsIn(page, '/lossless.wpk', 'kept');
      files.set('/lossless.wpk', before);
      if (other === '/large.wpk') expect(found).toEqual(digests.large);
      else expect(said).toMatch(/lossless\.wpk.*bytes \d+/);
    });

    it('gives way when there is no more room, and what cannot be kept is read all the same', async () => {
      const session = await page.context().newCDPSession(page);
      const quota = (quotaSize?: number) =>
        session.send('Storage.overrideQuotaForOrigin', {
          origin: server.address,
          ...(quotaSize !== undefined && { quotaSize }),
        });
      try {
        expect((await digestsIn(page, '/lossy.wpk', 'kept')).digests).toEqual(digests.lossy);
        await quota(length() + 200_000);
        await kept();
        expect((await cache('list')).map(([path]) => path)).toEqual(['/lossless.wpk']);
        await cache('evict');
        await quota(2 ** 21);
        expect(await kept()).toBeLessThan(length() + 2 ** 20 + 100);
        const [[, have]] = (await cache('list')) as [[string, number]];
        expect(have).toBeLessThanOrEqual(2 ** 21);
        await quota(1000);
        await cache('evict');
        expect(await kept()).toBeGreaterThanOrEqual(length());
      } finally {
        await quota();
      }
      expect(errors).toEqual([]);
    });
  });
});
