import { bloom as bloomFamily } from '../../../architectures/families/bloom.js';
import { falcon as falconFamily } from '../../../architectures/families/falcon.js';
import { gptNeox } from '../../../architectures/families/gpt_neox.js';
import { gpt2 as gpt2Family } from '../../../architectures/families/gpt2.js';
import { gptBigCode } from '../../../architectures/families/starcoder.js';
import type { Field, GgufFamily } from '../family.js';
import type { Get } from '../keys.js';
import { base } from './llama.js';

const TANH = ['gelu_new', 'gelu', 'gelu_fast', 'gelu_pytorch_tanh'];
const epsilon: Field = ['attention.layer_norm_epsilon', 'layer_norm_epsilon'];

/** GPT-2 and DialoGPT. */
export const gpt2: GgufFamily = {
  architecture: 'gpt2',
  family: gpt2Family,
  className: 'GPT2LMHeadModel',
  modelTypes: ['gpt2'],
  fields: [
    ['context_length', 'n_positions'],
    ['embedding_length', 'n_embd'],
    ['block_count', 'n_layer'],
    ['feed_forward_length', 'n_inner'],
    ['attention.head_count', 'n_head'],
    epsilon,
  ],
  fixed: {
    activation_function: TANH,
    scale_attn_weights: [true],
    scale_attn_by_inverse_layer_idx: [false],
    add_cross_attention: [false],
  },
};

/** StarCoder and SantaCoder. */
export const starcoder: GgufFamily = {
  ...gpt2,
  architecture: 'starcoder',
  family: gptBigCode,
  className: 'GPTBigCodeForCausalLM',
  modelTypes: ['gpt_bigcode'],
  fields: [
    ...gpt2.fields.slice(0, -1),
    ['attention.head_count_kv', (heads, get) => ({ multi_query: heads !== get('attention.head_count') })],
    epsilon,
  ],
  fixed: {
    activation_function: ['gelu_pytorch_tanh', 'gelu_new', 'gelu', 'gelu_fast'],
    scale_attn_weights: [true],
    add_cross_attention: [false],
  },
};

/** GPT-NeoX and Pythia. */
export const gptneox: GgufFamily = {
  architecture: 'gptneox',
  family: gptNeox,
  className: 'GPTNeoXForCausalLM',
  modelTypes: ['gpt_neox'],
  fields: [
    ['context_length', 'max_position_embeddings'],
    ['embedding_length', 'hidden_size'],
    ['block_count', 'num_hidden_layers'],
    ['feed_forward_length', 'intermediate_size'],
    ['attention.head_count', 'num_attention_heads'],
    ['rope.dimension_count', (features, get) => ({ rotary_pct: shareOf(features, get) })],
    ['rope.freq_base', 'rotary_emb_base'],
    ['attention.layer_norm_epsilon', 'layer_norm_eps'],
    ['use_parallel_residual', 'use_parallel_residual'],
  ],
  fixed: { hidden_act: ['gelu', 'gelu_new', 'gelu_fast', 'gelu_pytorch_tanh'], attention_bias: [true] },
  needsOutput: true,
};

/** Returns the share of a head's features that are rotated. */
export function shareOf(features: number, get: Get): number {
  const headSize =
    get('attention.key_length') ??
    (get('embedding_length') as number) / (get('attention.head_count') as number);
  return features / (headSize as number);
}

/** Falcon 7B, 40B and their like, with rotary positions. */
export const falcon: GgufFamily = {
  architecture: 'falcon',
  family: falconFamily,
  className: 'FalconForCausalLM',
  modelTypes: ['falcon', 'RefinedWebModel', 'RefinedWeb'],
  // the norm before the MLP is that of all, where there are two
  stems: { mlpNorm: 'attn_norm' },
  stemsFor: ({ layers: [first] }) => (first!.norms.mlp ? { attentionNorm: 'attn_norm_2' } : {}),
  fields: [
    ['context_length', 'max_position_embeddings'],
    ['embedding_length', 'hidden_size'],
    ['block_count', 'num_hidden_layers'],
    ['feed_forward_length', 'ffn_hidden_size'],
    ['attention.head_count', 'num_attention_heads'],
    ['attention.head_count_kv', 'num_kv_heads'],
    ['rope.dimension_count', () => ({})],
    base,
    epsilon,
  ],
  fixed: {
    activation: ['gelu', 'gelu_pytorch_tanh', 'gelu_new'],
    alibi: [false],
    bias: [false],
    parallel_attn: [true],
  },
  more: (get, names) => {
    const grouped = get('attention.head_count_kv') !== 1;
    const two = names.has('blk.0.attn_norm_2.weight');
    return {
      multi_query: !grouped || get('attention.head_count_kv') !== get('attention.head_count'),
      new_decoder_architecture: grouped || two,
      num_ln_in_parallel_attn: two ? 2 : 1,
    };
  },
};

/** BLOOM. */
export const bloom: GgufFamily = {
  architecture: 'bloom',
  family: bloomFamily,
  className: 'BloomForCausalLM',
  modelTypes: ['bloom'],
  fields: [
    ['context_length', 'seq_length'],
    ['embedding_length', 'hidden_size'],
    ['block_count', 'n_layer'],
    ['feed_forward_length', () => ({})],
    ['attention.head_count', 'n_head'],
    ['attention.head_count_kv', () => ({})],
    epsilon,
  ],
  fixed: { apply_residual_connection_post_layernorm: [false] },
};
