// @module-tag slow
// The real transformers.js in a page: its files come from a .wpk, and it computes what this project computes.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type * as Transformers from '@huggingface/transformers';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { wpkCache as WpkCache } from '../src/browser/transformers.js';
import { compress, exportOnnx, generate, open } from '../src/index.js';
import { embedTokens } from '../src/inference/embedding/embed.js';
import { openEmbeddingProgram } from '../src/inference/embedding/program.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { CHROMIUM, launch } from './helpers/chromium.js';
import { FAMILIES, TINY } from './helpers/fixtures.js';
import { expectedOf, largestDifference } from './helpers/logits.js';
import { needs } from './helpers/needs.js';
import { folder } from './helpers/safetensors.js';
import { serve } from './helpers/web-server.js';

const LIBRARY = 'node_modules/@huggingface/transformers';
const RUNTIME = `${LIBRARY}/node_modules/onnxruntime-web/dist`;
const PROMPT = [5, 17, 40, 3];
const LENGTH = 12;
const DECODERS = ['gpt_neo', 'gpt2', 'llama_llama3', 'qwen2', 'qwen3', 'gemma3_text'];
const EMBEDDING = 'st_bert_mean';
const TOKENS = [2, 9, 30, 31, 7, 3];

interface Globals {
  transformers: typeof Transformers;
  wpkCache: typeof WpkCache;
}

const PAGE = `<!doctype html><title>test</title>
<script type="module">
import * as transformers from '/tjs/transformers.min.js';
import { wpkCache } from '/web/transformers.js';
const { env } = transformers;
env.backends.onnx.wasm.wasmPaths = '/ort/';
Object.assign(env, { allowLocalModels: true, localModelPath: '/models/', allowRemoteModels: false });
Object.assign(globalThis, { transformers, wpkCache });
</script>`;

/** What a page may start as a worker: a pipeline on a lossy .wpk. */
const WORKER = `
import { env, pipeline } from '/tjs/transformers.min.js';
import { wpkCache } from '/web/transformers.js';
env.backends.onnx.wasm.wasmPaths = '/ort/';
Object.assign(env, { allowLocalModels: true, allowRemoteModels: false, useCustomCache: true });
env.customCache = wpkCache('/lossy.wpk', { model: 'user/lossy' });
const write = await pipeline('text-generation', 'user/lossy', { dtype: 'fp32', device: 'wasm' });
const [{ generated_text }] = await write('The weather', { max_new_tokens: 12, do_sample: false });
postMessage(generated_text);
`;

/** Where a page's models come from. */
type Way = 'exported' | 'wpk';

/** Loads a model in the page and computes: tokens of a decoder, logits of BERT, an embedding. */
function computedIn(page: Page, name: string, way: Way, device: 'wasm' | 'webgpu', inputs: number[]) {
  return page.evaluate(
    async ({ name, way, device, inputs, length }) => {
      const { transformers, wpkCache } = globalThis as unknown as Globals;
      const { env, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, Tensor } = transformers;
      env.useBrowserCache = false;
      env.useCustomCache = way === 'wpk';
      env.customCache = way === 'wpk' ? wpkCache(`/${name}.wpk`, { keep: false }) : null;
      const kind = name.startsWith('st_')
        ? AutoModel
        : name === 'bert'
          ? AutoModelForMaskedLM
          : AutoModelForCausalLM;
      const progress: string[] = [];
      const model = await kind.from_pretrained(`user/${name}`, {
        dtype: 'fp32',
        device,
        progress_callback: (event) => {
          if (event.status === 'progress') progress.push(`${event.file} ${event.total}`);
        },
      });
      const tensor = (values: number[]) =>
        new Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
      const feeds = { input_ids: tensor(inputs), attention_mask: tensor(inputs.map(() => 1)) };
      let values: number[];
      if (kind === AutoModelForCausalLM) {
        const options = {
          inputs: feeds.input_ids,
          max_new_tokens: length,
          do_sample: false,
          eos_token_id: -1,
        };
        const output = await model.generate(options as never);
        values = Array.from((output as { data: BigInt64Array }).data, Number);
      } else {
        const { logits, sentence_embedding } = await model(feeds);
        values = Array.from((logits ?? sentence_embedding).data as Float32Array);
      }
      await model.dispose();
      return { values, progress };
    },
    { name, way, device, inputs, length: LENGTH },
  );
}

async function tokensOf(path: string): Promise<number[]> {
  await using model = await open(path);
  const { tokens } = await generate(model, PROMPT, { maxTokens: LENGTH, temperature: 0, endTokens: [] });
  return [...PROMPT, ...tokens];
}

async function textOf(path: string): Promise<string> {
  await using model = await open(path);
  const prompt = 'The weather';
  const { text } = await generate(model, prompt, { maxTokens: 12, temperature: 0 });
  return prompt + text;
}

describe('in Chromium', needs(CHROMIUM, 'Chromium'), () => {
  let browser: Browser;
  let server: Awaited<ReturnType<typeof serve>>;
  const files = new Map<string, Uint8Array>();
  let lossyText: string;

  beforeAll(async () => {
    const place = folder();
    files.set('/index.html', new TextEncoder().encode(PAGE));
    files.set('/tjs/transformers.min.js', readFileSync(`${LIBRARY}/dist/transformers.min.js`));
    for (const name of readdirSync(RUNTIME))
      if (name.startsWith('ort-wasm')) files.set(`/ort/${name}`, readFileSync(join(RUNTIME, name)));
    for (const name of readdirSync('dist/web')) files.set(`/web/${name}`, readFileSync(`dist/web/${name}`));
    for (const name of [...DECODERS, 'bert', EMBEDDING]) {
      const packed = join(place, `${name}.wpk`);
      await compress(join(FAMILIES, name), packed);
      files.set(`/${name}.wpk`, readFileSync(packed));
      const exported = join(place, name);
      await using model = await open(join(FAMILIES, name));
      await exportOnnx(model, exported);
      for (const file of readdirSync(exported, { recursive: true, withFileTypes: true }))
        if (file.isFile()) {
          const path = join(file.parentPath, file.name);
          files.set(`/models/user/${name}${path.slice(exported.length)}`, readFileSync(path));
        }
    }
    const lossy = join(place, 'lossy.wpk');
    await compress(TINY, lossy, { budget: { bits: 4 }, calibration: false });
    files.set('/lossy.wpk', readFileSync(lossy));
    files.set('/worker.js', new TextEncoder().encode(WORKER));
    lossyText = await textOf(lossy);
    server = await serve(files);
    browser = await launch({ gpu: true });
  }, 300_000);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  async function page(): Promise<Page> {
    const opened = await browser.newPage();
    await opened.goto(`${server.address}/index.html`);
    await opened.waitForFunction('globalThis.wpkCache');
    return opened;
  }

  it.each(['exported', 'wpk'] as const)('all families, from %s', async (way) => {
    const opened = await page();
    for (const name of DECODERS) {
      const { values } = await computedIn(opened, name, way, 'wasm', PROMPT);
      expect(values, name).toEqual(await tokensOf(join(FAMILIES, name)));
    }
    const { inputs, logits } = expectedOf('bert', FAMILIES);
    const { values } = await computedIn(opened, 'bert', way, 'wasm', inputs[0]!);
    const first = logits.subarray(0, values.length);
    expect(largestDifference(Float32Array.from(values), first)).toBeLessThan(1e-4);
    const embedded = await computedIn(opened, EMBEDDING, way, 'wasm', TOKENS);
    await using model = await open(join(FAMILIES, EMBEDDING));
    const [expected] = await embedTokens(await loadRuntime(), await openEmbeddingProgram(model), [TOKENS]);
    expect(largestDifference(Float32Array.from(embedded.values), expected!)).toBeLessThan(1e-4);
    await opened.close();
  });

  it('in a worker, from a lossy file that stays for the next visit', async () => {
    const opened = await page();
    const said = () =>
      opened.evaluate(
        () =>
          new Promise<string>((resolve, reject) => {
            const worker = new Worker('/worker.js', { type: 'module' });
            worker.onmessage = ({ data }) => resolve(data);
            worker.onerror = ({ message }) => reject(new Error(message));
          }),
      );
    expect(await said()).toBe(lossyText);
    const before = server.asked.length;
    expect(await said()).toBe(lossyText);
    const again = server.asked
      .slice(before)
      .filter((request) => JSON.stringify(request).includes('lossy.wpk'));
    expect(again.length).toBeLessThanOrEqual(2); // whether the file is still the same
    await opened.close();
  });

  it('on WebGPU, and the progress of what is made', async () => {
    const opened = await page();
    const { values, progress } = await computedIn(opened, 'qwen3', 'wpk', 'webgpu', PROMPT);
    expect(values).toEqual(await tokensOf(join(FAMILIES, 'qwen3')));
    expect(progress.some((line) => /^onnx\/model\.onnx_data \d+$/.test(line))).toBe(true);
    await opened.close();
  });
});
