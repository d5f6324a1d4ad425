// Every model type that llama.cpp has: written, read back, and run by llama.cpp itself.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ForwardPlan } from '../src/architectures/forward.js';
import { findFamily } from '../src/architectures/registry.js';
import { isInputError } from '../src/index.js';
import { buildProgram, openProgram } from '../src/inference/program.js';
import { streamHidden } from '../src/inference/stream.js';
import { writeGgufHeader } from '../src/models/gguf/header-writer.js';
import { openGguf } from '../src/models/gguf/model.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { openModel } from '../src/open/open.js';
import { writeGguf } from '../src/operations/export/gguf.js';
import { planGguf } from '../src/operations/export/gguf-plan.js';
import { FAMILIES } from './helpers/fixtures.js';
import { asModel, randomModel, TINY_TOKENIZER, withTokenizer } from './helpers/gguf.js';
import { embeddingThere, llama, logProbabilities, probabilitiesThere } from './helpers/llama-cpp.js';
import { largestDifference, logitsOf, refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { needs } from './helpers/needs.js';
import { CountingSource, folder, seededRandom } from './helpers/safetensors.js';

afterAll(() => llama?.dispose());

type Changes = Readonly<Record<string, unknown>>;

const YARN = { rope_type: 'yarn', rope_theta: 300, factor: 4, original_max_position_embeddings: 256 };

/** Fixtures of the reference implementation, and what has to be changed for llama.cpp to compute the same. */
const CHANGED: Readonly<Record<string, Changes>> = {
  bloom: {},
  cohere2: {},
  deepseek_v2_lite: { rms_norm_eps: 1e-6 },
  deepseek_v3: { rms_norm_eps: 1e-6, rope_parameters: { ...YARN, mscale: 0.6, mscale_all_dim: 0.6 } },
  falcon: {},
  falcon_7b: {},
  gemma: {},
  gemma2: { query_pre_attn_scalar: 12 },
  gemma3: { query_pre_attn_scalar: 8 },
  gemma3_text: { query_pre_attn_scalar: 8 },
  gpt2: {},
  gpt_bigcode: {},
  gpt_neox: {},
  gpt_neox_sequential: {},
  gpt_oss: { rope_parameters: YARN },
  granite: {},
  granitemoe: {},
  lfm2: {},
  llama_bias: {},
  llama_dynamic: {},
  llama_linear: {},
  llama_llama3: {},
  llama_longrope: {},
  llama_yarn: { rope_parameters: YARN },
  ministral: {},
  mistral: {},
  mixtral: {},
  olmo2: {},
  olmo3: {
    rope_parameters: {
      full_attention: { ...YARN, attention_factor: 1.2 },
      sliding_attention: { rope_type: 'default', rope_theta: 300 },
    },
  },
  phi: {},
  phi3: {},
  phi3_longrope: {},
  qwen3: {},
  qwen3_moe: {},
  smollm3: {},
  glm4: {},
  stablelm: {},
  stablelm_parallel: {},
  starcoder2: {},
};

/** The same with random weights, where other tensors are needed too. */
const RANDOM: Readonly<Record<string, Changes>> = {
  cohere: { use_qk_norm: false },
  olmoe: { num_key_value_heads: 4 },
  qwen2: { use_sliding_window: false, layer_types: null },
  qwen2_moe: { mlp_only_layers: [] },
};

/** Variants whose tensors are elsewhere, or are others. */
const MORE: Readonly<Record<string, readonly [fixture: string, Changes]>> = {
  'gpt_bigcode, keys for each head': ['gpt_bigcode', { multi_query: false, num_key_value_heads: null }],
  'phi, grouped keys': ['phi', { num_key_value_heads: 2 }],
  'gemma3, not tied': ['gemma3_text', { query_pre_attn_scalar: 8, tie_word_embeddings: false }],
  'granite, not tied': ['granite', { tie_word_embeddings: false }],
};

const place = folder();
/** Within the shortest window and context of the fixtures. */
const PROMPT = [46, 57, 37, 43, 55, 16];
/** The prompt of models whose windows llama.cpp has: longer than they are. */
const LONG = [...PROMPT, 91, 63, 80, 24];
const LIMITED = ['mistral', 'ministral', 'phi3', 'starcoder2'];
/** ggml reads GELU from a table in half precision; all else is float32. */
const TOLERANCE = 1e-4;
const TABLE_TOLERANCE = 2e-2;
const GELU = /^(bloom|falcon|gemma|gpt|phi$|phi,|starcoder)/;

const { vocab, merges } = TINY_TOKENIZER.model;
const TOKENIZER = {
  ...TINY_TOKENIZER,
  model: { type: 'BPE', merges, vocab: Object.fromEntries(Object.entries(vocab).slice(0, 96)) },
};

const jsonOf = (name: string, file: string) => JSON.parse(readFileSync(join(FAMILIES, name, file), 'utf8'));

/** Returns a fixture with changes to the language model's config. */
async function fixture(name: string, changes: Changes, isRandom: boolean): Promise<MemoryModel> {
  const config = jsonOf(name, 'config.json');
  const changed = {
    ...config,
    ...changes,
    ...(config.text_config && { text_config: { ...config.text_config, ...changes } }),
  };
  const model = isRandom ? randomModel(changed) : await MemoryModel.of(join(FAMILIES, name));
  model.config = changed;
  return withTokenizer(model, TOKENIZER);
}

const CASES = [
  ...Object.entries(CHANGED).map(([name, changes]) => [name, name, changes, false] as const),
  ...Object.entries(RANDOM).map(([name, changes]) => [name, name, changes, true] as const),
  ...Object.entries(MORE).map(([name, [of, changes]]) => [name, of, changes, true] as const),
];

describe.each(CASES)('%s', (name, of, changes, isRandom) => {
  const file = join(place, `${name}.gguf`);
  const prompt = LIMITED.includes(of) ? PROMPT : LONG;
  let logits: Float32Array;
  beforeAll(async () => {
    const model = await fixture(of, changes, isRandom);
    await writeGguf(asModel(model), file, { type: 'F32' });
    logits = await logitsOf(model, [prompt]);
  });

  it('read back: the same logits', async () => {
    const opened = await openModel(file);
    expect(largestDifference(await logitsOf(opened, [prompt]), logits)).toBeLessThan(1e-4);
    await opened.close();
  });

  it('in llama.cpp: the same logits', {
    ...needs(llama, 'a build of llama.cpp for this system'),
    tags: 'slow',
  }, async () => {
    const there = await probabilitiesThere(file, prompt, { exact: true });
    const here = logProbabilities(logits, prompt.length);
    expect(largestDifference(there, here)).toBeLessThan(GELU.test(of) ? TABLE_TOLERANCE : TOLERANCE);
  });
});

describe.each(['bert', 'camembert', 'distilbert', 'modernbert', 'nomic_bert', 'roberta', 'xlm-roberta'])(
  '%s, an encoder',
  (name) => {
    const file = join(place, `${name}.gguf`);
    let model: MemoryModel;
    beforeAll(async () => {
      model = await fixture(name, {}, false);
      const modules = ['Transformer', 'Pooling'].map((kind) => ({
        type: `sentence_transformers.models.${kind}`,
        path: kind === 'Pooling' ? '1_Pooling' : '',
      }));
      model.addFile('modules.json', JSON.stringify(modules));
      model.addFile('1_Pooling/config.json', '{"pooling_mode_mean_tokens":true}');
      await writeGguf(asModel(model), file, { type: 'F32' });
    });

    it('read back: the same settings, tensors and pooling, without a head', async () => {
      const opened = await openModel(file);
      expect(opened.sideFiles.map((side) => side.name)).toEqual(
        expect.arrayContaining(['modules.json', '1_Pooling/config.json']),
      );
      expect(
        findFamily(opened.config)!.classes.test(String((opened.config!.architectures as string[])[0])),
      ).toBe(true);
      for (const { name: tensor, shape } of opened.tensors) {
        const own = model.tensors.find((one) => one.name === tensor || one.name.endsWith(`.${tensor}`))!;
        const floats = new Float32Array((await opened.readTensor(tensor)).slice().buffer);
        // reserved positions are left out
        const offset = (own.shape[0]! - shape[0]!) * (shape[1] ?? 0);
        expect([tensor, largestDifference(floats, model.floats(own.name).slice(offset))]).toEqual([
          tensor,
          0,
        ]);
      }
      await opened.close();
    });

    it('in llama.cpp: the same embedding', {
      ...needs(llama, 'a build of llama.cpp for this system'),
      tags: 'slow',
    }, async () => {
      const there = await embeddingThere(file, LONG);
      const here = await meanOf(model);
      const difference = largestDifference(Float32Array.from(there), here);
      expect(difference).toBeLessThan(5e-3);
    });
  },
);

/** The mean of an encoder's hidden states. */
async function meanOf(model: MemoryModel): Promise<Float32Array> {
  const program = await openProgram(asModel(model));
  const hidden = (await streamHidden(await loadRuntime(), program, [LONG])).window(0);
  const size = program.plan.hiddenSize;
  const rows = LONG.map((_, i) => normed(model, program.plan, hidden.slice(i * size, (i + 1) * size)));
  return Float32Array.from(
    { length: size },
    (_, j) => rows.reduce((sum, row) => sum + row[j]!, 0) / rows.length,
  );
}

/** The final norm of those that have one. */
function normed(model: MemoryModel, { finalNorm }: ForwardPlan, row: Float32Array): Float32Array {
  if (!finalNorm) return row;
  const weights = model.floats('model.final_norm.weight');
  const mean = row.reduce((sum, value) => sum + value, 0) / row.length;
  const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / row.length;
  return row.map((value, i) => ((value - mean) / Math.sqrt(variance + finalNorm.epsilon)) * weights[i]!);
}

describe('a config of transformers 4 gives the same file', () => {
  it.each(['gemma3_text', 'gpt_neox', 'granite', 'llama_linear', 'mixtral', 'phi', 'qwen3'])(
    '%s',
    async (name) => {
      const model = await fixture(name, CHANGED[name]!, false);
      const five = await planGguf(asModel(model), 'F32');
      model.config = { ...jsonOf(name, 'config-4.json'), ...CHANGED[name] };
      const four = await planGguf(asModel(model), 'F32');
      const plain = ({ entries, tensors }: typeof five) => [
        entries,
        tensors.map(({ name, shape }) => [name, shape]),
      ];
      expect(plain(four)).toEqual(plain(five));
    },
  );
});

describe('what llama.cpp would compute in another way is refused by name', () => {
  it.each([
    ['cohere', {}, /queryKeyNorm/],
    ['deepseek_v2', { rms_norm_eps: 1e-6 }, /topk_method greedy only, found "group_limited_greedy"/],
    ['deepseek_v2_lite', {}, /rms_norm_eps/],
    ['falcon_alibi', {}, /alibi false only, found true/],
    ['gemma2', {}, /mixer\.scale 0\.22/],
    [
      'gemma3_text',
      {
        query_pre_attn_scalar: 8,
        rope_parameters: undefined,
        rope_theta: 9,
        layer_types: undefined,
        sliding_window_pattern: 2,
        rope_scaling: {
          rope_type: 'llama3',
          factor: 8,
          low_freq_factor: 1,
          high_freq_factor: 4,
          original_max_position_embeddings: 8192,
        },
      },
      /rope_type "llama3" for gemma3/,
    ],
    ['gpt_oss', {}, /truncate true/],
    ['gpt_oss', { rope_parameters: YARN, swiglu_limit: 6 }, /swiglu_limit 7 only, found 6/],
    ['llama_yarn', {}, /beta_fast 32/],
    ['olmoe', {}, /num_key_value_heads/],
    ['olmoe_clip', {}, /norm_topk_prob false only/],
    ['phi_qk_layernorm', {}, /qk_layernorm false only/],
    ['qwen3', { attention_bias: true }, /attention_bias false only/],
    ['qwen2', {}, /use_sliding_window false only/],
    ['qwen2_moe', {}, /layers\.0\.mlp/],
    ['smollm3', { no_rope_layers: [1, 0, 1, 0], no_rope_layer_interval: 4 }, /layers\.1\.mixer\.rotary/],
    [
      'gemma2',
      {
        query_pre_attn_scalar: 12,
        layer_types: ['full_attention', 'full_attention', 'sliding_attention', 'full_attention'],
      },
      /layer_types/,
    ],
    ['stablelm', { hidden_act: 'gelu' }, /hidden_act silu only/],
  ] as const)('%s %o', async (name, changes, message) => {
    const model = await fixture(name, changes, false);
    expect(await refusalOf(() => planGguf(asModel(model), 'F32'))).toMatch(message);
  });
});

it('windows that llama.cpp does not have limit the context that is written', async () => {
  const entriesOf = async (name: string) =>
    (await planGguf(asModel(await fixture(name, {}, false)), 'F32')).entries;
  const contextOf = async (name: string) =>
    (await entriesOf(name)).find(({ key }) => key.endsWith('.context_length'))!.value;
  expect(await contextOf('mistral')).toBe(7);
  expect(await contextOf('ministral')).toBe(6);
  // dynamic scaling begins beyond the positions of training
  expect(await contextOf('llama_dynamic')).toBe(16);
  expect(await contextOf('gemma')).toBe(64);
});

it('a flipped byte of the header is read or refused, nothing else', async () => {
  const random = seededRandom(31);
  for (const name of [
    'bert',
    'deepseek_v3',
    'falcon',
    'gemma3_text',
    'gpt_oss',
    'granitemoe',
    'lfm2',
    'phi3_longrope',
  ]) {
    const model = await fixture(name, CHANGED[name] ?? {}, false);
    const { entries, tensors } = await planGguf(asModel(model), 'F32');
    const header = writeGgufHeader(entries, tensors);
    const parts = [header];
    for (const { pieces } of tensors)
      for await (const bytes of pieces()) parts.push(bytes, new Uint8Array(-bytes.length & 31));
    const bytes = Buffer.concat(parts);
    const settings = header.length - Buffer.from(header).indexOf('tokenizer.ggml.tokens');
    for (let i = 0; i < 40; i++) {
      const bad = Uint8Array.from(bytes);
      const at = Math.floor(random() * (header.length - settings));
      bad[at]! ^= 1 + Math.floor(random() * 255);
      try {
        const opened = await openGguf('a.gguf', new CountingSource('a.gguf', bad));
        for (const { name: tensor } of opened.tensors) await opened.readTensor(tensor);
        if (opened.config) buildProgram(opened);
      } catch (error) {
        if (!isInputError(error)) throw error;
        expect(error.message).not.toMatch(/[\r\n]/);
      }
    }
  }
});
