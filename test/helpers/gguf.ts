import { tensorRole } from '../../src/architectures/registry.js';
import { parameterShapes } from '../../src/architectures/shapes.js';
import type { Model } from '../../src/core/model.js';
import { MemoryModel } from './memory-model.js';
import { seededRandom } from './safetensors.js';

const rotary = {
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  max_position_embeddings: 64,
  vocab_size: 97,
  bos_token_id: 0,
  eos_token_id: 0,
};

/** Small configs of what can be written as GGUF, as the Hub has them. */
export const TINY_CONFIGS: Readonly<Record<string, Record<string, unknown>>> = {
  llama: {
    ...rotary,
    model_type: 'llama',
    num_key_value_heads: 2,
    hidden_act: 'silu',
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: false,
  },
  qwen2: {
    ...rotary,
    model_type: 'qwen2',
    num_key_value_heads: 2,
    hidden_act: 'silu',
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    tie_word_embeddings: true,
    use_sliding_window: false,
  },
  gpt2: {
    model_type: 'gpt2',
    n_embd: 64,
    n_inner: null,
    n_layer: 2,
    n_head: 4,
    n_positions: 64,
    vocab_size: 97,
    activation_function: 'gelu_new',
    layer_norm_epsilon: 1e-5,
    bos_token_id: 0,
    eos_token_id: 0,
  },
  gpt_neox: {
    ...rotary,
    model_type: 'gpt_neox',
    hidden_act: 'gelu',
    layer_norm_eps: 1e-5,
    rotary_pct: 0.25,
    rotary_emb_base: 10000,
    use_parallel_residual: true,
    tie_word_embeddings: false,
  },
};

/** A small model with random weights from a seed, and the changes to its config. */
export function tinyModel(name: string, changes: Record<string, unknown> = {}): MemoryModel {
  return randomModel({ ...TINY_CONFIGS[name], ...changes });
}

/** A model with random weights from a seed. */
export function randomModel(config: Record<string, unknown>): MemoryModel {
  const random = seededRandom(7);
  const model = new MemoryModel(config, new Map());
  for (const { name: tensor, shape } of parameterShapes(config)) {
    const isNorm = tensorRole({ name: tensor, shape }, config) === 'norm';
    const values = Float32Array.from(
      { length: shape.reduce((product, dimension) => product * dimension, 1) },
      () => (isNorm && tensor.endsWith('.weight') ? 1 : 0) + (random() - 0.5) * 0.5,
    );
    model.set(tensor, shape, values);
  }
  return model;
}

export const asModel = (memory: MemoryModel) => memory as unknown as Model;

/** 97 tokens of byte-level BPE: letters and signs, a merge, an end. */
const TOKENS = [
  '<|endoftext|>',
  'Ċ',
  'Ġ',
  'th',
  ...Array.from({ length: 93 }, (_, i) => String.fromCharCode(0x21 + i)),
];

/** The tokenizer of that vocabulary. */
export const TINY_TOKENIZER = {
  version: '1.0',
  added_tokens: [
    {
      id: 0,
      content: '<|endoftext|>',
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    },
  ],
  normalizer: null as unknown,
  pre_tokenizer: {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: true,
  } as object,
  post_processor: null as unknown,
  decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: {
    type: 'BPE',
    vocab: Object.fromEntries(TOKENS.map((token, id) => [token, id])),
    merges: [['t', 'h']] as unknown[],
  },
};

/** Puts a tokenizer beside a model. */
export function withTokenizer(model: MemoryModel, tokenizer: object = TINY_TOKENIZER): MemoryModel {
  model.addFile('tokenizer.json', JSON.stringify(tokenizer));
  model.addFile(
    'tokenizer_config.json',
    JSON.stringify({ bos_token: '<|endoftext|>', eos_token: '<|endoftext|>' }),
  );
  return model;
}
