// @module-tag slow
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parameterShapes } from '../src/architectures/shapes.js';
import { open as openWeb } from '../src/browser/open.js';
import { load } from '../src/browser/run.js';
import { compress, generate, open } from '../src/index.js';
import type { WpkModel } from '../src/wpk/model.js';
import { CHROMIUM, digestsIn, launch, moduleFiles, openPage, type PageGlobals } from './helpers/chromium.js';
import { weightpress } from './helpers/cli.js';
import { FIXTURES } from './helpers/fixtures.js';
import { needs } from './helpers/needs.js';
import { folder } from './helpers/safetensors.js';
import { serve } from './helpers/web-server.js';

const PROMPT = [5, 17, 40, 3];
const LENGTH = 8;

const place = folder();
const architectures = readdirSync(FIXTURES);
const models: [name: string, from: string, flags: string[]][] = [
  ['tiny', 'examples/gpt-neo-tiny', []],
  ['tiny-lossy', 'examples/gpt-neo-tiny', ['--bits', '4', '--no-calibration']],
  ...architectures.flatMap((name): typeof models => [
    [name, join(FIXTURES, name), []],
    [`${name}-lossy`, join(FIXTURES, name), ['--bits', '6', '--no-calibration']],
  ]),
];

/** What a page generates, and what it hears of on the way. */
function generatedIn(page: Page, path: string, device: 'wasm' | 'webgpu') {
  return page.evaluate(
    async ({ path, device, prompt, maxTokens }) => {
      const { weightpress, run, ort } = globalThis as unknown as PageGlobals;
      const model = await weightpress.open(path);
      const decoded: number[] = [];
      const heard: number[] = [];
      try {
        const loaded = await run.load(ort, model, {
          device,
          onProgress: ({ stage, done }) => stage === 'decoding' && decoded.push(done),
        });
        const onToken = (token: number) => heard.push(token);
        const { tokens } = await loaded.generate(prompt, { maxTokens, onToken });
        const again = await loaded.generate(prompt, { maxTokens });
        await loaded.close();
        return { tokens, heard, again: again.tokens, decoded, device: loaded.device, said: '' };
      } catch (error) {
        const said = String((error as Error).message);
        return { tokens: [], heard, again: [], decoded, device, said };
      } finally {
        await model.close();
      }
    },
    { path, device, prompt: PROMPT, maxTokens: LENGTH },
  );
}

it('a model that WebAssembly cannot hold is refused in words, before anything is read', async () => {
  const config = {
    model_type: 'gpt2',
    vocab_size: 50257,
    n_positions: 1024,
    n_embd: 1600,
    n_head: 25,
    n_layer: 48,
  };
  const tensors = parameterShapes(config).map(({ name, shape }) => ({ name, shape, dtype: 'BF16' }));
  const readTensor = () => Promise.reject(new Error('it was read'));
  const model = { id: 'xl.wpk', config, tensors, readTensor } as never;
  const ort = { env: { wasm: {} }, Tensor: Object, InferenceSession: Object };
  await expect(load(ort, model)).rejects.toThrow(/xl\.wpk: 6\.\d GB as float32, over the limit of 4\.0 GB/);
});

it('reports NaN in the weights without hanging', async () => {
  const from = folder();
  cpSync('examples/gpt-neo-tiny', from, { recursive: true });
  const weights = readFileSync(join(from, 'model.safetensors'));
  weights.fill(0xff, weights.length - 2);
  writeFileSync(join(from, 'model.safetensors'), weights);
  const path = join(place, 'nan.wpk');
  expect(weightpress('compress', from, '-o', path).stderr).toBe('');
  const model = await openWeb(new Blob([readFileSync(path)]));
  const session = { run: async () => ({}), release: async () => {} };
  class Tensor {
    constructor(
      _: string,
      readonly data: Float32Array,
    ) {}
  }
  const ort = { env: { wasm: {} }, Tensor, InferenceSession: { create: async () => session } };
  await expect(load(ort, model)).rejects.toThrow(/transformer\.wte\.weight.*weights must be finite/);
  await model.close();
});

describe('running in Chromium', needs(CHROMIUM, 'Chromium'), () => {
  const files = moduleFiles();
  const errors: string[] = [];
  let server: Awaited<ReturnType<typeof serve>>;
  let browser: Browser;
  let page: Page;
  let gpuPage: Page;

  beforeAll(async () => {
    for (const [name, from, flags] of models) {
      const path = join(place, `${name}.wpk`);
      if (flags.length) expect(weightpress('compress', from, '-o', path, ...flags).stderr).toBe('');
      else {
        const original = await open(from);
        await compress(original, path);
        await original.close();
      }
      files.set(`/${name}.wpk`, readFileSync(path));
    }
    server = await serve(files);
    browser = await launch({ gpu: true });
    page = await openPage(await browser.newPage(), `${server.address}/index.html`, errors);
    gpuPage = await openPage(await browser.newPage(), `${server.address}/webgpu.html`, errors);
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  it.each(models.map(([name]) => name))(
    '%s: the same bytes and the same tokens as here',
    async (name) => {
      const here = (await open(join(place, `${name}.wpk`))) as WpkModel;
      const expected = new Map<string, string>(
        here.container!.directory.tensors.map(({ name, sha256 }) => [name, sha256]),
      );
      const { digests } = await digestsIn(page, `/${name}.wpk`);
      for (const [tensor, digest] of Object.entries(digests)) expect(digest).toBe(expected.get(tensor));
      expect(Object.keys(digests).length).toBeGreaterThan(0);
      const there = await generatedIn(page, `/${name}.wpk`, 'wasm');
      if (name.startsWith('roberta')) {
        expect(there.said).toMatch(/masked language models cannot continue text/);
      } else {
        const { tokens } = await generate(here, PROMPT, { maxTokens: LENGTH });
        expect(there).toMatchObject({ tokens, heard: tokens, again: tokens, said: '' });
        const decodedBytes = here
          .container!.directory.tensors.filter(({ sameAs }) => sameAs === undefined)
          .reduce((sum, { name }) => sum + here.tensors.find((t) => t.name === name)!.lengthBytes, 0);
        expect(there.decoded.at(-1)).toBe(decodedBytes);
      }
      await here.close();
    },
    60_000,
  );

  it.each(models.map(([name]) => name).filter((name) => /^(tiny|llama|gpt_neox)$/.test(name)))(
    '%s: on a GPU too',
    async (name) => {
      const here = await open(join(place, `${name}.wpk`));
      const { tokens } = await generate(here, PROMPT, { maxTokens: LENGTH });
      await here.close();
      const there = await generatedIn(gpuPage, `/${name}.wpk`, 'webgpu');
      expect(there).toMatchObject({ tokens, again: tokens, device: 'webgpu', said: '' });
    },
    60_000,
  );

  it('a page without a GPU computes on its processors', async () => {
    const plain = await launch();
    const other = await openPage(await plain.newPage(), `${server.address}/webgpu.html`, errors);
    const { tokens, device } = await generatedIn(other, '/tiny.wpk', 'webgpu');
    await plain.close();
    expect(device).toBe('wasm');
    expect(tokens).toHaveLength(LENGTH);
  }, 60_000);

  it('the page goes on while it writes, and can stop it', async () => {
    const { heard, drawn, said } = await page.evaluate(async () => {
      const { weightpress, run, ort } = globalThis as unknown as PageGlobals;
      const model = await weightpress.open('/tiny.wpk');
      const loaded = await run.load(ort, model);
      const ending = new AbortController();
      let [heard, drawn] = [0, 0];
      const draw = () => {
        drawn++;
        if (drawn === 3) ending.abort(new Error('enough'));
        else requestAnimationFrame(draw);
      };
      requestAnimationFrame(draw);
      const onToken = () => heard++;
      const said = await loaded
        .generate([5], { maxTokens: 200, endTokens: [], onToken, signal: ending.signal })
        .then(
          () => '',
          (error) => error.message,
        );
      await loaded.close();
      await model.close();
      return { heard, drawn, said };
    });
    expect(said).toBe('enough');
    expect(heard).toBeGreaterThan(0);
    expect(heard).toBeLessThan(200);
    expect(drawn).toBe(3);
  }, 60_000);

  it('load rejects when a decoding worker fails', async () => {
    const other = await openPage(await browser.newPage(), `${server.address}/index.html`);
    const said = await other.evaluate(async () => {
      const { weightpress, run, ort } = globalThis as unknown as PageGlobals;
      const code = `postMessage('ready'); onmessage = () => { throw new Error('it died'); };`;
      const script = URL.createObjectURL(new Blob([code]));
      const model = await weightpress.open('/tiny.wpk', { workers: 1 });
      const { Worker } = globalThis;
      await new Promise((ready) => {
        globalThis.Worker = class extends Worker {
          constructor() {
            super(script);
            this.addEventListener('message', ready, { once: true });
          }
        };
        model
          .all()
          .next()
          .catch(() => {}); // starts the worker
      });
      globalThis.Worker = Worker;
      return run.load(ort, model).then(
        () => 'loaded',
        ({ message }) => message as string,
      );
    });
    await other.close();
    expect(said).toMatch(/^a worker ended \(.*it died\)/);
  }, 60_000);

  it('nothing is left in the console', () => {
    expect(errors).toEqual([]);
  });
});
