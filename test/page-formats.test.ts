// @module-tag slow
// The page with weights of other formats, of the Hub, and at its very first start.
import { cpSync, existsSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeModel } from '../src/onnx/proto.js';
import { writeGguf } from '../src/operations/export/gguf.js';
import { checkpoint } from './helpers/checkpoint.js';
import { CHROMIUM, launch } from './helpers/chromium.js';
import { fixture } from './helpers/fixtures.js';
import { asModel, tinyModel } from './helpers/gguf.js';
import { needs } from './helpers/needs.js';
import { builtPage, drop, LOSSY, openedPage, sound, tab, violations } from './helpers/page.js';
import { f32, folder, rawSafetensors, safetensors } from './helpers/safetensors.js';
import { serve, USUAL } from './helpers/web-server.js';

const values = Float32Array.from({ length: 256 }, (_, i) => Math.sin(i));
const floats = (name: string) => f32(name, [16, 16], values);

/** A safetensors file of many empty tensors and one that is not. */
function manyTensors(count: number): Uint8Array {
  const entries = Array.from(
    { length: count - 1 },
    (_, i) => `"layers.${i}.weight":{"dtype":"F32","shape":[0,${i}],"data_offsets":[0,0]}`,
  );
  entries.push('"last.weight":{"dtype":"F32","shape":[16,16],"data_offsets":[0,1024]}');
  return rawSafetensors(`{${entries.join(',')}}`, new Uint8Array(values.buffer));
}

describe('the page', needs(CHROMIUM, 'Chromium'), () => {
  let server: Awaited<ReturnType<typeof serve>>;
  let browser: Browser;
  let page: Page;
  const errors: string[] = [];
  const behavior = { ...USUAL, isolated: false }; // as GitHub Pages serves it

  beforeAll(async () => {
    server = await serve(builtPage(), behavior);
    browser = await launch();
    page = await openedPage(browser, `${server.address}/index.html`, { errors });
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  const opened = (name: string, on = page) => on.locator('#status', { hasText: `${name}: ` }).waitFor();
  const rows = () => page.locator('#tensor-table tbody tr:not(.spacer)');
  const names = () => page.locator('#tensor-table tbody bdi').allTextContents();

  /** The counts of the drawn bins. */
  const drawnCounts = () =>
    page
      .locator('#histogram rect title')
      .allTextContents()
      .then((titles) => titles.map((title) => Number(title.split(': ')[1]!.replaceAll(',', ''))));

  it('generates text without cross-origin isolation, on one thread', async () => {
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(false);
    await tab(page, 'Generate');
    await page.getByLabel('Tokens', { exact: true }).fill('5');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByText(/5 tokens, [\d.]+ tokens per second/).waitFor({ timeout: 60_000 });
  }, 90_000);

  describe('opens by drop', () => {
    it.each([
      [
        'model.safetensors',
        async () => safetensors([floats('a.mlp.weight'), floats('b')]),
        2,
        'a.mlp.weight',
        '16 × 16',
        256,
      ],
      [
        'model.gguf',
        async () => {
          const path = join(folder(), 'model.gguf');
          await writeGguf(asModel(tinyModel('llama')), path, { type: 'Q8_0' });
          return readFileSync(path);
        },
        21,
        'token_embd.weight',
        '97 × 64',
        6208,
      ],
      [
        'model.pt',
        async () => checkpoint({ 'fc.weight': { shape: [8, 32], strides: [1, 8], values } }),
        1,
        'fc.weight',
        '8 × 32',
        256,
      ],
      [
        'model.onnx',
        async () =>
          encodeModel({
            name: 'graph',
            inputs: [],
            outputs: [],
            externals: [],
            nodes: [],
            constants: [{ name: 'onnx::MatMul_7', type: 'float32', shape: [16, 16], values: [...values] }],
          }),
        1,
        'onnx::MatMul_7',
        '16 × 16',
        256,
      ],
      [
        'model.wpk',
        async () => readFileSync(LOSSY),
        56,
        'transformer.h.0.mlp.c_fc.weight',
        '512 × 128',
        65_536,
      ],
    ])(
      '%s: its tensors, their shapes, a histogram that counts all elements',
      async (name, made, count, tensor, shape, elements) => {
        await drop(page, name, await made());
        await opened(name);
        await tab(page, 'Tensors');
        expect(await page.locator('#found').textContent()).toMatch(new RegExp(`^${count} tensors`));
        await page.getByRole('button', { name: tensor, exact: true }).click();
        await page.locator(`#histogram svg[aria-label*="${tensor}"]`).waitFor();
        expect(await page.locator('#detail-facts').textContent()).toContain(`shape${shape}`);
        expect((await drawnCounts()).reduce((a, b) => a + b, 0)).toBe(elements);
        expect(errors).toEqual([]);
      },
    );
  });

  it('opens an ONNX file with its external data, chosen together in any order', async () => {
    const files = ['model.onnx_data', 'model.onnx'].map((name) => fixture(join('onnx/external', name)));
    await page.locator('#file').setInputFiles(files);
    await opened('model.onnx and 1 more');
    expect(await page.locator('#warning').isVisible()).toBe(false);
    await tab(page, 'Tensors');
    await page.getByRole('button', { name: 'wte.weight', exact: true }).click();
    await page.locator('#histogram svg[aria-label*="wte.weight"]').waitFor();
    expect(await page.locator('#detail-facts').textContent()).toContain('in model.onnx_data');
    expect((await drawnCounts()).reduce((a, b) => a + b, 0)).toBeGreaterThan(4000);
  });

  it('says why it cannot run them, and what to do', async () => {
    await drop(page, 'other.safetensors', safetensors([floats('w')]));
    await opened('other.safetensors');
    await tab(page, 'Generate');
    expect(await page.locator('#only-wpk').textContent()).toContain(
      'npx weightpress compress other.safetensors',
    );
    expect(await page.locator('#prompt').isVisible()).toBe(false);
  });

  it('draws the part that is seen of 80,000 tensors, finds one, sorts all', async () => {
    await drop(page, 'many.safetensors', manyTensors(80_000));
    await opened('many.safetensors');
    await tab(page, 'Tensors');
    expect(await page.locator('#found').textContent()).toMatch(/^80,000 tensors/);
    expect(await rows().count()).toBeLessThan(80);
    await page.locator('#scroll').evaluate((scroll) => scroll.scrollTo(0, scroll.scrollHeight));
    await page.getByRole('button', { name: 'last.weight' }).waitFor();
    await page.locator('#search').fill('79998 F32');
    expect(await names()).toEqual(['layers.79998.weight']);
    expect(await page.locator('#found').textContent()).toMatch(/^1 of 80,000 tensors/);
    await page.locator('#search').fill('');
    await page.getByRole('button', { name: 'size', exact: true }).click();
    expect((await names())[0]).toBe('last.weight');
    expect(await page.locator('th.size').getAttribute('aria-sort')).toBe('descending');
    await page.getByRole('button', { name: 'tensor', exact: true }).click();
    expect((await names()).slice(0, 3)).toEqual(['last.weight', 'layers.0.weight', 'layers.1.weight']);
    await page.locator('#search').fill('16x16');
    expect(await names()).toEqual(['last.weight']);
    expect(await violations(page)).toEqual([]);
  }, 60_000);

  it('moves between rows by the arrow keys, and back to the order of the file by a third click', async () => {
    await drop(page, 'rows.safetensors', safetensors([floats('b'), floats('c'), floats('a')]));
    await opened('rows.safetensors');
    await page.getByRole('button', { name: 'b', exact: true }).focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    expect(await page.locator('#detail-name').textContent()).toBe('c');
    expect(await page.locator('[aria-current] bdi').textContent()).toBe('c');
    const orders = [];
    for (let i = 0; i < 3; i++) {
      await page.getByRole('button', { name: 'tensor', exact: true }).click();
      orders.push((await names()).join(''));
    }
    expect(orders).toEqual(['abc', 'cba', 'bca']);
  });

  it('opens shards that are chosen together as one model', async () => {
    const shards = folder({
      'm-00001-of-00002.safetensors': safetensors([floats('a')]),
      'm-00002-of-00002.safetensors': safetensors([floats('b'), floats('c')]),
    });
    const paths = [2, 1].map((n) => join(shards, `m-0000${n}-of-00002.safetensors`));
    await page.locator('#file').setInputFiles(paths);
    await page.locator('#status', { hasText: '3 tensors' }).waitFor();
    expect(await names()).toEqual(['a', 'b', 'c']);
  });

  it('draws a map of sizes, and shows the tensor that is chosen in it', async () => {
    await drop(
      page,
      'map.safetensors',
      safetensors([floats('h.0.attn.weight'), f32('wte.weight', [64, 64], new Float32Array(4096))]),
    );
    await opened('map.safetensors');
    await tab(page, 'Map');
    const canvas = page.locator('#map');
    expect(await canvas.getAttribute('aria-label')).toMatch(/^Sizes of 2 tensors/);
    const { width, height } = (await canvas.boundingBox())!;
    await canvas.click({ position: { x: width - 10, y: height / 2 } });
    expect(await page.locator('#detail-name').textContent()).toBe('h.0.attn.weight');
    await canvas.click({ position: { x: 20, y: height / 2 } });
    expect(await page.locator('#detail-name').textContent()).toBe('wte.weight');
    expect(await page.locator('#legend').textContent()).toBe('token embeddingattention');
    await page.getByLabel('Group by').selectOption('type');
    expect(await page.locator('#legend').textContent()).toBe('F32');
  });

  describe('opens models of the Hub by name', () => {
    const shard = (name: string) => safetensors([floats(name)], { format: 'pt' });
    const config = Buffer.from(JSON.stringify({ model_type: 'gpt2', n_layer: 1, n_embd: 16, n_head: 1 }));
    const repositories: Record<string, Record<string, Uint8Array>> = {
      'someone/sharded': {
        'config.json': config,
        'model-00001-of-00002.safetensors': shard('wte.weight'),
        'model-00002-of-00002.safetensors': shard('h.0.mlp.c_fc.weight'),
        'model.safetensors.index.json': Buffer.from('{"weight_map":{}}'),
      },
      'someone/several': { 'q4.gguf': new Uint8Array(99), 'q8.gguf': new Uint8Array(199) },
    };

    beforeAll(async () => {
      await page.route('https://huggingface.co/**', (route) => {
        const { pathname } = new URL(route.request().url());
        const headers = { 'access-control-allow-origin': '*' };
        const [, api, resolved, file] =
          /^\/(?:api\/models\/([^/]+\/[^/]+)\/tree\/main|([^/]+\/[^/]+)\/resolve\/main\/(.*))$/.exec(
            pathname,
          ) ?? [];
        const files = repositories[api ?? resolved ?? ''];
        if (!files) return route.fulfill({ status: 401, headers });
        if (api)
          return route.fulfill({
            headers,
            json: Object.entries(files).map(([path, { length }]) => ({ type: 'file', path, size: length })),
          });
        const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(route.request().headers().range ?? '')!;
        const body = Buffer.from(files[file!]!.subarray(Number(from), Number(to) + 1));
        return route.fulfill({ status: 206, headers, body });
      });
    });

    const open = async (name: string) => {
      await page.getByLabel('A model on the Hub').fill(name);
      await page.getByRole('button', { name: 'Open', exact: true }).click();
    };

    it('all shards as one table, with the roles of its architecture', async () => {
      await open('someone/sharded');
      await page.getByText('someone/sharded: 2 tensors').waitFor();
      await tab(page, 'Tensors');
      expect(await names()).toEqual(['wte.weight', 'h.0.mlp.c_fc.weight']);
      expect(await page.locator('#tensor-table td.role').allTextContents()).toEqual([
        'token embedding',
        'MLP',
      ]);
      await page.getByRole('button', { name: 'h.0.mlp.c_fc.weight' }).click();
      await page.locator('#detail-facts', { hasText: 'model-00002-of-00002.safetensors' }).waitFor();
      await tab(page, 'Metadata');
      expect(await page.locator('#metadata').textContent()).toContain('n_embd');
      expect(page.url()).toMatch(/#someone\/sharded$/);
    });

    it('a choice of several files, and what is wrong in one sentence', async () => {
      await open('https://huggingface.co/someone/several');
      await page.getByText('someone/several has 2 files of weights: choose one.').waitFor();
      expect(await violations(page)).toEqual([]);
      await page.getByRole('button', { name: 'q8.gguf' }).click();
      await page
        .locator('#status.wrong', { hasText: /someone\/several\/q8\.gguf.*not a file of weights/ })
        .waitFor();
      await open('someone/absent');
      await page.locator('#status.wrong', { hasText: 'no public model of this name on the Hub' }).waitFor();
      expect(errors.filter((text) => !/401/.test(text))).toEqual([]); // which the browser says by itself
      errors.length = 0;
    });
  });

  it('opens what its own address names', async () => {
    const other = await browser.newPage();
    await other.goto(`${server.address}/index.html#tiny-lossless.wpk`);
    await sound(other, 'tiny-lossless.wpk');
    await other.close();
  });

  it('comes up at once in a clean checkout, and has its example as soon as it is made', async () => {
    const clone = folder();
    for (const name of ['web', 'dist', 'examples', 'assets'])
      cpSync(name, join(clone, name), {
        recursive: true,
        filter: (path) => !/web\/public|dist\/(page|api)/.test(path),
      });
    cpSync('package.json', join(clone, 'package.json'));
    symlinkSync(join(process.cwd(), 'node_modules'), join(clone, 'node_modules'));
    expect(existsSync(join(clone, 'web/public'))).toBe(false);
    const { createServer } = await import('vite');
    const vite = await createServer({
      configFile: join(clone, 'web/vite.config.js'),
      root: join(clone, 'web'),
      server: { port: 0 },
      cacheDir: join(clone, '.vite'),
      logLevel: 'error',
    });
    await vite.listen();
    const said: string[] = [];
    const first = await browser.newPage();
    first.on('pageerror', (error) => said.push(error.message));
    first.on('console', (message) => message.type() === 'error' && said.push(message.text()));
    await first.goto(vite.resolvedUrls!.local[0]!);
    await first.getByText('The example is being made').waitFor();
    await drop(first, 'meanwhile.safetensors', safetensors([floats('w')]));
    await opened('meanwhile.safetensors', first);
    await first.getByRole('button', { name: 'the example' }).click();
    await first.getByText(/tiny.wpk: all checksums match|cannot be made/).waitFor({ timeout: 150_000 });
    expect(said).toEqual([]);
    expect(await first.locator('#status').textContent()).toMatch(/^tiny\.wpk: all checksums match/);
    await first.close();
    await vite.close();
  }, 180_000);
});
