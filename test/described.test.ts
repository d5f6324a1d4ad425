// What `analyze` says of models it does not run: shared experts, tied heads, packed weights, shared keys, experts, windows.
import { describe, expect, it, vi } from 'vitest';
import { describeArchitecture, tensorRole } from '../src/architectures/registry.js';
import { analyzeCommand } from '../src/cli/analyze.js';
import { openModel } from '../src/open/open.js';
import { analyze } from '../src/operations/analyze.js';
import { f32, folder, safetensors, type TestTensor } from './helpers/safetensors.js';

const WIDTHS: Record<string, number> = { F32: 4, F16: 2, BF16: 2, I32: 4, U8: 1, F8_E4M3: 1 };

/** A tensor of bytes that differ from tensor to tensor. */
function raw(name: string, dtype: string, shape: number[]): TestTensor {
  const length = shape.reduce((product, n) => product * n, WIDTHS[dtype]!);
  return { name, dtype, shape, data: Uint8Array.from({ length }, (_, i) => (i * 7 + name.length) % 61) };
}

function write(tensors: readonly TestTensor[], config: Record<string, unknown>): string {
  return folder({ 'model.safetensors': safetensors([...tensors]), 'config.json': JSON.stringify(config) });
}

async function analysisOf(tensors: readonly TestTensor[], config: Record<string, unknown>) {
  const model = await openModel(write(tensors, config));
  try {
    return await analyze(model);
  } finally {
    await model.close();
  }
}

/** What the command prints of a model, by its first words. */
async function printed(tensors: readonly TestTensor[], config: Record<string, unknown>) {
  let text = '';
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text += chunk;
    return true;
  });
  try {
    await analyzeCommand().parseAsync([write(tensors, config)], { from: 'user' });
  } finally {
    spy.mockRestore();
  }
  const lines = text.split('\n').map((line) => [line.slice(0, 14).trim(), line.slice(15)] as const);
  return (what: string) => lines.find(([own]) => own === what)?.[1];
}

describe('roles by name', () => {
  it.each([
    ['model.layers.0.mlp.shared_expert.gate_proj.weight', 'MLP'],
    ['model.layers.0.mlp.shared_experts.down_proj.weight', 'MLP'],
    ['model.layers.0.mlp.shared_expert_gate.weight', 'MLP'],
    ['shared.weight', 'token embedding'],
    ['model.shared.weight', 'token embedding'],
    ['token_embd.weight', 'token embedding'],
    ['model.embed_tokens.weight', 'token embedding'],
  ])('%s: %s', (name, role) => {
    expect(tensorRole({ name, shape: [8, 8] }, undefined)).toBe(role);
  });
});

describe('the output matrix', () => {
  const embedding = raw('model.embed_tokens.weight', 'F32', [16, 8]);
  const writes = { model_type: 'gemma9', architectures: ['Gemma9ForCausalLM'] };

  it.each([
    [[embedding], writes, /^the token embedding \(tied by default: no output matrix is stored\)$/],
    [[embedding], { ...writes, tie_word_embeddings: true }, /^the token embedding \(tied\)$/],
    [
      [embedding],
      { ...writes, text_config: { tie_word_embeddings: true } },
      /^the token embedding \(tied\)$/,
    ],
    [[embedding], { ...writes, tie_word_embeddings: false }, /^none stored$/],
    [[embedding], { model_type: 'gemma9', architectures: ['Gemma9Model'] }, /^none stored$/],
    [[embedding], { model_type: 'gemma', architectures: ['GemmaModel'] }, /^none stored$/],
    [
      [embedding],
      { model_type: 'gemma', architectures: ['GemmaForCausalLM'] },
      /^the token embedding \(tied\)$/,
    ],
    [[embedding, raw('lm_head.weight', 'F32', [16, 8])], writes, /^a separate matrix$/],
    [[embedding, raw('lm_head.qweight', 'I32', [1, 16])], writes, /^a separate matrix$/],
    [[embedding, { ...embedding, name: 'lm_head.weight' }], writes, /stored twice with identical bytes$/],
  ])('%#', async (tensors, config, expected) => {
    expect((await printed(tensors, config))('output matrix')).toMatch(expected);
  });
});

describe('parameters of packed models', () => {
  const bias = f32(
    'layer.bias',
    [32],
    Float32Array.from({ length: 32 }, (_, i) => i),
  );
  it.each([
    [
      'GPTQ, 4 bits',
      [
        raw('layer.qweight', 'I32', [8, 32]),
        raw('layer.qzeros', 'I32', [2, 4]),
        raw('layer.scales', 'F16', [2, 32]),
        raw('layer.g_idx', 'I32', [64]),
      ],
      { quant_method: 'gptq', bits: 4, group_size: 32 },
      64 * 32,
      'gptq, 4 bits, groups of 32',
    ],
    [
      'GPTQ, 8 bits',
      [raw('layer.qweight', 'I32', [16, 32])],
      { quant_method: 'gptq', bits: 8 },
      64 * 32,
      'gptq, 8 bits',
    ],
    [
      'AWQ',
      [raw('layer.qweight', 'I32', [64, 4]), raw('layer.scales', 'F16', [2, 32])],
      { quant_method: 'awq', bits: 4 },
      64 * 32,
      'awq, 4 bits',
    ],
    [
      'FP8',
      [raw('layer.weight', 'F8_E4M3', [32, 64]), raw('layer.weight_scale_inv', 'F32', [1, 1])],
      { quant_method: 'fp8', weight_block_size: [128, 128] },
      64 * 32,
      'fp8 (blocks of 128 x 128), 8 bits',
    ],
    [
      'NF4',
      [
        raw('layer.weight', 'U8', [1024, 1]),
        raw('layer.weight.absmax', 'U8', [32]),
        raw('layer.weight.quant_map', 'F32', [16]),
      ],
      { quant_method: 'bitsandbytes', load_in_4bit: true, bnb_4bit_quant_type: 'nf4' },
      64 * 32,
      'bitsandbytes (nf4), 4 bits',
    ],
    [
      'MXFP4',
      [raw('gate_up_proj_blocks', 'U8', [2, 32, 1, 16]), raw('gate_up_proj_scales', 'U8', [2, 32, 1])],
      { quant_method: 'mxfp4' },
      64 * 32,
      'mxfp4, 4 bits',
    ],
    [
      'compressed-tensors',
      [
        raw('layer.weight_packed', 'I32', [32, 8]),
        raw('layer.weight_scale', 'BF16', [32, 2]),
        raw('layer.weight_shape', 'I32', [2]),
      ],
      {
        quant_method: 'compressed-tensors',
        format: 'pack-quantized',
        config_groups: { group_0: { weights: { num_bits: 4, group_size: 32 } } },
      },
      64 * 32,
      'compressed-tensors (pack-quantized), 4 bits, groups of 32',
    ],
  ] as const)('%s', async (_, tensors, quantization_config, expected, said) => {
    const config = { model_type: 'other', quantization_config };
    const { parameters } = await analysisOf([...tensors, bias], config);
    expect(parameters.unique).toBe(expected + 32);
    expect((await printed([...tensors, bias], config))('quantized by')).toBe(said);
  });
});

describe('heads of keys and values', () => {
  it.each([
    ['GPT-BigCode', { n_head: 16, multi_query: true }, 1],
    [
      'Falcon 7B',
      { num_attention_heads: 71, num_kv_heads: 71, multi_query: true, new_decoder_architecture: false },
      1,
    ],
    [
      'Falcon 40B',
      { num_attention_heads: 128, num_kv_heads: 8, multi_query: true, new_decoder_architecture: true },
      8,
    ],
    ['an early Falcon', { n_head: 128, n_head_kv: 8 }, 8],
    ['ChatGLM', { num_attention_heads: 32, multi_query_attention: true, multi_query_group_num: 2 }, 2],
    ['Llama 3', { num_attention_heads: 32, num_key_value_heads: 8 }, 8],
    ['GPT-2', { n_head: 12 }, 12],
    ['a model of images and text', { text_config: { num_attention_heads: 8, num_key_value_heads: 4 } }, 4],
  ])('%s', (_, config, expected) => {
    expect(describeArchitecture(config).keyValueHeads).toBe(expected);
  });
});

describe('experts', () => {
  const layer = 'model.layers.0.mlp';
  const apart = [0, 1, 2, 3].map((i) => raw(`${layer}.experts.${i}.up_proj.weight`, 'F32', [16, 8 + i]));
  const rest = [
    raw(`${layer}.shared_expert.up_proj.weight`, 'F32', [16, 7]),
    raw(`${layer}.gate.weight`, 'F32', [4, 8]),
    raw('model.embed_tokens.weight', 'F32', [32, 8]),
  ];
  const outside = 16 * 7 + 4 * 8 + 32 * 8;
  const inside = 16 * (8 + 9 + 10 + 11);

  it.each([
    ['apart', apart, inside],
    ['stacked', [raw(`${layer}.experts.gate_up_proj`, 'F32', [4, 16, 8])], 4 * 16 * 8],
  ])('%s: those that a token passes are counted', async (_, experts, inExperts) => {
    const config = { model_type: 'other', num_experts: 4, num_experts_per_tok: 2 };
    const { parameters } = await analysisOf([...experts, ...rest], config);
    expect(parameters.unique).toBe(outside + inExperts);
    expect(parameters.active).toBe(outside + inExperts / 2);
    const line = await printed([...experts, ...rest], config);
    expect(line('experts')).toBe('4 per layer, 2 active per token');
    expect(line('active')).toBe(`${(outside + inExperts / 2).toLocaleString('en-US')} parameters per token`);
  });

  it('without sizes give no count', async () => {
    const { parameters } = await analysisOf(rest, { model_type: 'other' });
    expect(parameters.active).toBeUndefined();
  });
});

describe('a sliding window', () => {
  it.each([
    [{ sliding_window: 4096 }, '4,096 tokens'],
    [
      {
        sliding_window: 512,
        num_hidden_layers: 3,
        layer_types: ['sliding_attention', 'sliding_attention', 'full_attention'],
      },
      '512 tokens in 2 of 3 layers',
    ],
    [
      { window_size: 256, num_layers: 2, attention_layers: ['global', 'local'] },
      '256 tokens in 1 of 2 layers',
    ],
    [{ sliding_window: 4096, use_sliding_window: false }, undefined],
    [{ sliding_window: null }, undefined],
    [{ sliding_window: 64, layer_types: ['full_attention'] }, undefined],
  ])('%o', async (config, expected) => {
    const tensors = [raw('w', 'F32', [4, 4])];
    expect((await printed(tensors, { model_type: 'other', ...config }))('sliding window')).toBe(expected);
  });
});
