import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeArchitecture, findFamily, tensorRole } from '../src/architectures/registry.js';
import type { Role } from '../src/architectures/roles.js';
import { parameterShapes } from '../src/architectures/shapes.js';
import { guessRole } from '../src/architectures/unknown.js';
import { elementCount } from '../src/core/dtype.js';
import { openModel } from '../src/open/open.js';
import { FAMILIES, FIXTURES, SMALL, TINY } from './helpers/fixtures.js';

type Config = Record<string, unknown>;
const parameters = (config: Config) =>
  parameterShapes(config).reduce((total, { shape }) => total + elementCount(shape), 0);

const gptNeo13B = {
  model_type: 'gpt_neo',
  vocab_size: 50257,
  hidden_size: 2048,
  intermediate_size: null,
  num_layers: 24,
  num_heads: 16,
  max_position_embeddings: 2048,
};
const dialoGptSmall = {
  model_type: 'gpt2',
  vocab_size: 50257,
  n_embd: 768,
  n_head: 12,
  n_layer: 12,
  n_positions: 1024,
  n_ctx: 1024,
};
const robertaBase = {
  model_type: 'roberta',
  architectures: ['RobertaForMaskedLM'],
  vocab_size: 50265,
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  max_position_embeddings: 514,
  pad_token_id: 1,
  type_vocab_size: 1,
};
const tinyLlama = {
  model_type: 'llama',
  vocab_size: 32000,
  hidden_size: 2048,
  intermediate_size: 5632,
  num_hidden_layers: 22,
  num_attention_heads: 32,
  num_key_value_heads: 4,
  max_position_embeddings: 2048,
  tie_word_embeddings: false,
};
const qwen2Half = {
  model_type: 'qwen2',
  vocab_size: 151936,
  hidden_size: 896,
  intermediate_size: 4864,
  num_hidden_layers: 24,
  num_attention_heads: 14,
  num_key_value_heads: 2,
  max_position_embeddings: 32768,
  tie_word_embeddings: true,
};
const pythia70M = {
  model_type: 'gpt_neox',
  vocab_size: 50304,
  hidden_size: 512,
  intermediate_size: 2048,
  num_hidden_layers: 6,
  num_attention_heads: 8,
  max_position_embeddings: 2048,
  tie_word_embeddings: false,
};

describe('the parameters a config declares', () => {
  // The counts that model cards and papers give.
  it.each([
    ['GPT-Neo 1.3B', gptNeo13B, 1_315_575_808],
    ['DialoGPT-small', dialoGptSmall, 124_439_808],
    ['RoBERTa-base with its head', robertaBase, 124_697_433],
    ['TinyLlama 1.1B', tinyLlama, 1_100_048_384],
    ['Qwen2 0.5B', qwen2Half, 494_032_768],
    ['Pythia 70M', pythia70M, 70_426_624],
  ] as [string, Config, number][])('%s', (_, config, expected) => {
    expect(parameters(config)).toBe(expected);
  });

  it('include a separate head if the embeddings are not tied', () => {
    const untied = { ...gptNeo13B, tie_word_embeddings: false };
    expect(parameters(untied) - parameters(gptNeo13B)).toBe(50257 * 2048);
    expect(parameterShapes(untied).at(-1)).toEqual({ name: 'lm_head.weight', shape: [50257, 2048] });
  });

  it('of a bare RoBERTa encoder have no prefix, no head, and a pooler', () => {
    const names = parameterShapes({ ...robertaBase, architectures: ['RobertaModel'] }).map(
      ({ name }) => name,
    );
    expect(names).toContain('encoder.layer.11.output.dense.bias');
    expect(names).toContain('pooler.dense.weight');
    expect(names.some((name) => name.startsWith('lm_head'))).toBe(false);
  });

  it('are refused for what makes no sense, naming the key', () => {
    expect(() => parameterShapes({ model_type: 'xlnet' })).toThrow(/unknown model_type "xlnet".*gpt_neo/);
    expect(() => parameterShapes({ ...gptNeo13B, num_layers: '24' })).toThrow(/num_layers.*positive integer/);
    expect(() => parameterShapes({ ...gptNeo13B, num_layers: 1e7 })).toThrow(/limit of 10000/);
    expect(() => parameterShapes({ ...gptNeo13B, hidden_size: -1 })).toThrow(/hidden_size/);
    expect(() => parameterShapes({ ...gptNeo13B, num_heads: 13 })).toThrow(/head_dim/);
  });
});

describe('roles', () => {
  const role = (model_type: string, name: string, shape: number[] = [8, 8]) =>
    tensorRole({ name, shape }, { model_type });

  it('tell the mask of GPT-2 from the bias of its attention', () => {
    expect(role('gpt2', 'transformer.h.3.attn.bias', [1, 1, 8, 8])).toBe('buffer');
    expect(role('gpt2', 'h.3.attn.bias', [1, 1, 8, 8])).toBe('buffer');
    expect(role('gpt2', 'h.3.attn.masked_bias', [])).toBe('buffer');
    expect(role('gpt2', 'h.3.attn.c_attn.bias', [24])).toBe('attention');
    expect(role('gpt2', 'h.3.attn.c_proj.bias', [8])).toBe('attention');
  });

  const cases: [type: string, name: string, role: Role][] = [
    ['gpt2', 'wte.weight', 'token embedding'],
    ['gpt2', 'transformer.wpe.weight', 'position embedding'],
    ['gpt2', 'transformer.h.0.mlp.c_fc.weight', 'MLP'],
    ['gpt2', 'ln_f.bias', 'norm'],
    ['gpt2', 'lm_head.weight', 'head'],
    ['gpt_neo', 'transformer.h.11.attn.attention.bias', 'buffer'],
    ['gpt_neo', 'transformer.h.11.attn.attention.masked_bias', 'buffer'],
    ['gpt_neo', 'transformer.h.11.attn.attention.out_proj.bias', 'attention'],
    ['roberta', 'roberta.embeddings.position_ids', 'buffer'],
    ['roberta', 'embeddings.position_ids', 'buffer'],
    ['roberta', 'embeddings.word_embeddings.weight', 'token embedding'],
    ['roberta', 'roberta.encoder.layer.0.attention.output.LayerNorm.weight', 'norm'],
    ['roberta', 'roberta.encoder.layer.0.attention.output.dense.weight', 'attention'],
    ['roberta', 'encoder.layer.0.output.dense.weight', 'MLP'],
    ['roberta', 'lm_head.layer_norm.weight', 'head'],
    ['llama', 'model.layers.0.self_attn.rotary_emb.inv_freq', 'buffer'],
    ['mistral', 'model.layers.0.self_attn.q_proj.weight', 'attention'],
    ['llama', 'model.layers.0.post_attention_layernorm.weight', 'norm'],
    ['llama', 'model.norm.weight', 'norm'],
    ['qwen2', 'model.layers.0.self_attn.q_proj.bias', 'attention'],
    ['gpt_neox', 'gpt_neox.layers.0.attention.bias', 'buffer'],
    ['gpt_neox', 'gpt_neox.layers.0.attention.dense.bias', 'attention'],
    ['gpt_neox', 'gpt_neox.layers.0.attention.rotary_emb.inv_freq', 'buffer'],
    ['gpt_neox', 'gpt_neox.layers.0.post_attention_layernorm.bias', 'norm'],
    ['gpt_neox', 'embed_out.weight', 'head'],
  ];
  it.each(cases)('%s: %s is %s', (type, name, expected) => {
    expect(role(type, name)).toBe(expected);
  });

  const unknown: [name: string, shape: number[], role: Role][] = [
    ['model.decoder.embed_tokens.weight', [99, 8], 'token embedding'],
    ['model.decoder.embed_positions.weight', [16, 8], 'position embedding'],
    ['model.decoder.layers.0.self_attn_layer_norm.weight', [8], 'norm'],
    ['model.decoder.layers.0.self_attn.k_proj.weight', [8, 8], 'attention'],
    ['model.decoder.layers.0.fc1.weight', [32, 8], 'MLP'],
    ['transformer.blocks.0.attn.causal.mask', [1, 1, 16, 16], 'buffer'],
    ['h.0.attn.bias', [1, 1, 16, 16], 'buffer'],
    ['h.0.attn.bias', [24], 'attention'],
    ['h.0.input_layernorm.weight', [8], 'norm'],
    ['bert.encoder.layer.0.attention.output.LayerNorm.weight', [8], 'norm'],
    ['lm_head.weight', [99, 8], 'head'],
    ['x', [3], 'other'],
  ];
  it.each(unknown)('of no known family: %s %j is %s', (name, shape, expected) => {
    expect(guessRole({ name, shape })).toBe(expected);
    expect(tensorRole({ name, shape }, undefined)).toBe(expected);
  });
});

describe('what a config says', () => {
  it('in the words of any family', () => {
    expect(describeArchitecture(dialoGptSmall)).toMatchObject({
      family: 'GPT-2',
      layers: 12,
      hiddenSize: 768,
      heads: 12,
      keyValueHeads: 12,
      context: 1024,
      vocabulary: 50257,
      tiedEmbeddings: true,
    });
    expect(describeArchitecture(tinyLlama)).toMatchObject({
      heads: 32,
      keyValueHeads: 4,
      tiedEmbeddings: false,
    });
    expect(describeArchitecture(robertaBase).context).toBe(512);
    expect(describeArchitecture({ model_type: 'xlnet', n_layer: 30 })).toMatchObject({
      family: undefined,
      modelType: 'xlnet',
      layers: 30,
      tiedEmbeddings: undefined,
    });
    expect(describeArchitecture(undefined).family).toBeUndefined();
  });

  it('tied embeddings: the family decides only if the config does not', () => {
    const tied = (config: Config) => describeArchitecture(config).tiedEmbeddings;
    expect(['gpt2', 'gpt_neo', 'roberta'].map((model_type) => tied({ model_type }))).toEqual([
      true,
      true,
      true,
    ]);
    expect(['llama', 'gpt_neox', 'qwen2'].map((model_type) => tied({ model_type }))).toEqual([
      false,
      false,
      false,
    ]);
    expect(tied({ model_type: 'qwen2', tie_word_embeddings: true })).toBe(true);
    expect(tied({ model_type: 'gpt2', tie_word_embeddings: false })).toBe(false);
  });

  it('by its class if it has no model_type', () => {
    expect(findFamily({ architectures: ['GPTNeoXForCausalLM'] })?.name).toBe('GPT-NeoX');
    expect(findFamily({ architectures: ['GPTNeoForCausalLM'] })?.name).toBe('GPT-Neo');
    expect(findFamily({ architectures: ['Qwen2MoeForCausalLM'] })?.name).toBe('Qwen2-MoE');
    expect(findFamily({ model_type: 'xlnet', architectures: ['Qwen2ForCausalLM'] })).toBeUndefined();
  });
});

const checkpoints = [...readdirSync(FIXTURES).map((name) => join(FIXTURES, name)), SMALL, TINY];

describe('a checkpoint holds exactly the parameters its config declares', () => {
  it.each(checkpoints)('%s', async (path) => {
    const model = await openModel(path);
    const config = model.config as Config;
    const stored = model.tensors
      .filter((tensor) => tensorRole(tensor, config) !== 'buffer')
      .map(({ name, shape }) => `${name} ${shape}`);
    expect(stored.sort()).toEqual(
      parameterShapes(config)
        .map(({ name, shape }) => `${name} ${shape}`)
        .sort(),
    );
    const stray = model.tensors
      .filter((tensor) => tensorRole(tensor, config) === 'other')
      .map(({ name }) => name);
    expect(stray.filter((name) => !name.includes('token_type_embeddings'))).toEqual([]);
    await model.close();
  });
});

describe('roles in models that cannot be run', () => {
  const roles = async (name: string) => {
    const model = await openModel(join(FAMILIES, name));
    const found = model.tensors.map(
      (tensor) => [tensor.name, tensorRole(tensor, model.config as Config)] as const,
    );
    await model.close();
    return found;
  };

  it.each<[string, readonly RegExp[]]>([
    ['t5', []],
    ['bart', [/final_logits_bias/]],
    ['whisper', [/\.conv\d\./]],
    ['vit', [/cls_token|patch_embeddings/]],
    ['clip', [/class_embedding|patch_embedding|logit_scale/]],
    ['siglip', [/patch_embedding|logit_(scale|bias)/]],
    ['dinov2', [/(cls|mask)_token|patch_embeddings|layer_scale/]],
    ['wav2vec2', [/conv|masked_spec_embed|feature_projection\.projection/]],
    ['deberta-v2', []],
    ['mamba', [/mixer/]],
  ])('%s has no other role than %j', async (name, others) => {
    const stray = (await roles(name)).filter(
      ([tensor, role]) => role === 'other' && !others.some((pattern) => pattern.test(tensor)),
    );
    expect(stray).toEqual([]);
  });

  it('are those of the parts', async () => {
    const roleOf = async (name: string, part: string) =>
      (await roles(name)).find(([tensor]) => tensor.includes(part))?.[1];
    expect(await roleOf('vit', 'layer.0.output.dense.weight')).toBe('MLP');
    expect(await roleOf('vit', 'attention.output.dense.weight')).toBe('attention');
    expect(await roleOf('clip', 'pre_layrnorm')).toBe('norm');
    expect(await roleOf('clip', 'visual_projection')).toBe('head');
    expect(await roleOf('deberta-v2', 'rel_embeddings')).toBe('position embedding');
    expect(await roleOf('mamba', 'backbone.embeddings')).toBe('token embedding');
    expect(await roleOf('t5', 'EncDecAttention.q')).toBe('attention');
  });
});
