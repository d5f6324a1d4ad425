// The real transformers.js, unpatched, loads what is exported and what wpkCache hands it, and computes what this project computes.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  AutoModel,
  AutoModelForCausalLM,
  AutoModelForMaskedLM,
  env,
  Tensor,
} from '@huggingface/transformers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compress, exportOnnx, generate, open, type Serving, serve } from '../src/index.js';
import { embedTokens } from '../src/inference/embedding/embed.js';
import { openEmbeddingProgram } from '../src/inference/embedding/program.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { wpkCache } from '../src/operations/wpk-cache.js';
import { FAMILIES } from './helpers/fixtures.js';
import { expectedOf, largestDifference } from './helpers/logits.js';
import { folder } from './helpers/safetensors.js';

const place = folder();
const PROMPT = [5, 17, 40, 3];
const LENGTH = 12;
const DECODERS = ['gpt_neo', 'gpt2', 'llama_llama3', 'qwen2', 'qwen3', 'gemma3_text'];
const EMBEDDING = ['st_bert_mean', 'st_lasttoken'];

const integers = (tokens: readonly number[]) =>
  new Tensor('int64', BigInt64Array.from(tokens, BigInt), [1, tokens.length]);

type Offer = (path: string, id: string) => Promise<string>;

/** The ways that a model comes to transformers.js: each returns the name by which it is loaded. */
const WAYS: Readonly<Record<string, Offer>> = {
  'an exported folder': async (path, id) => {
    Object.assign(env, { useCustomCache: false, allowRemoteModels: false, allowLocalModels: true });
    env.localModelPath = `${join(place, 'exported')}/`;
    await using model = await open(path);
    await exportOnnx(model, join(place, 'exported', id), { force: true });
    return id;
  },
  wpkCache: async (_, id) => {
    await customCache?.close();
    customCache = wpkCache(join(place, `served/${id}.wpk`), {
      model: id,
      folder: join(place, 'cache'),
    });
    Object.assign(env, { useCustomCache: true, customCache, allowRemoteModels: false });
    return id;
  },
  'weightpress serve': async (_, id) => {
    Object.assign(env, { useCustomCache: false, useFSCache: true, cacheDir: join(place, 'hub') });
    Object.assign(env, { remoteHost: server.url, allowRemoteModels: true, allowLocalModels: false });
    return `${id}-ONNX`;
  },
};

let customCache: ReturnType<typeof wpkCache> | undefined;
let server: Serving;
beforeAll(async () => {
  mkdirSync(join(place, 'served/user'), { recursive: true });
  for (const name of [...DECODERS, 'bert', ...EMBEDDING])
    await compress(join(FAMILIES, name), join(place, `served/user/${name}.wpk`));
  server = await serve(join(place, 'served'), { port: 0 });
});
afterAll(() => Promise.all([server.close(), customCache?.close()]));

describe.each(Object.keys(WAYS))('transformers.js from %s', (way) => {
  const offer = (name: string) => WAYS[way]!(join(FAMILIES, name), `user/${name}`);

  afterAll(() => {
    env.useCustomCache = false;
  });

  it.each(DECODERS)('%s', async (name) => {
    const id = await offer(name);
    const model = await AutoModelForCausalLM.from_pretrained(id, { dtype: 'fp32' });
    const output = (await model.generate({
      inputs: integers(PROMPT),
      max_new_tokens: LENGTH,
      do_sample: false,
      eos_token_id: -1,
    } as never)) as Tensor;
    await model.dispose();
    const own = await open(join(FAMILIES, name));
    const { tokens } = await generate(own, PROMPT, { maxTokens: LENGTH, temperature: 0, endTokens: [] });
    await own.close();
    expect(Array.from(output.data as BigInt64Array, Number)).toEqual([...PROMPT, ...tokens]);
  });

  it('bert', async () => {
    const id = await offer('bert');
    const model = await AutoModelForMaskedLM.from_pretrained(id, { dtype: 'fp32' });
    const { inputs, logits } = expectedOf('bert', FAMILIES);
    const found: number[] = [];
    for (const tokens of inputs) {
      const ones = integers(tokens.map(() => 1));
      const output = await model({ input_ids: integers(tokens), attention_mask: ones });
      found.push(...output.logits.data);
    }
    await model.dispose();
    expect(largestDifference(Float32Array.from(found), logits)).toBeLessThan(1e-4);
  });

  it.each(EMBEDDING)('%s', async (name) => {
    const id = await offer(name);
    const model = await AutoModel.from_pretrained(id, { dtype: 'fp32' });
    const tokens = [2, 9, 30, 31, 7, 3];
    const feeds = { input_ids: integers(tokens), attention_mask: integers(tokens.map(() => 1)) };
    const { sentence_embedding: found } = await model(feeds);
    await model.dispose();
    const own = await open(join(FAMILIES, name));
    const [expected] = await embedTokens(await loadRuntime(), await openEmbeddingProgram(own), [tokens]);
    await own.close();
    expect(largestDifference(found.data, expected!)).toBeLessThan(1e-4);
  });
});
