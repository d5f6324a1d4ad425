import { bert as bertFamily } from '../../../architectures/families/bert.js';
import { distilbert as distilbertFamily } from '../../../architectures/families/distilbert.js';
import { modernbert as modernbertFamily } from '../../../architectures/families/modernbert.js';
import { nomicBert as nomicBertFamily } from '../../../architectures/families/nomic_bert.js';
import type { Field, GgufFamily } from '../family.js';
import { base } from './llama.js';

const sizes: readonly Field[] = [
  ['context_length', 'max_position_embeddings'],
  ['embedding_length', 'hidden_size'],
  ['block_count', 'num_hidden_layers'],
  ['feed_forward_length', 'intermediate_size'],
  ['attention.head_count', 'num_attention_heads'],
];
const causal: Field = ['attention.causal', () => ({})];
const epsilon: Field = ['attention.layer_norm_epsilon', 'layer_norm_eps'];

const GELU = ['gelu', 'gelu_new', 'gelu_fast', 'gelu_pytorch_tanh'];
const TYPES = 'token_types.weight';

/** BERT, and RoBERTa and its like, which differ in their heads and in reserved positions. */
export const bert: GgufFamily = {
  architecture: 'bert',
  family: bertFamily,
  className: 'BertModel',
  modelTypes: ['bert', 'roberta', 'xlm-roberta', 'camembert'],
  matches: (_, shapes) => shapes.has(TYPES),
  stems: { attentionNorm: 'attn_output_norm', mlpNorm: 'layer_output_norm' },
  fields: [...sizes, epsilon, causal],
  fixed: { hidden_act: GELU },
  more: (_, shapes) => ({ type_vocab_size: shapes.get(TYPES)?.[0] }),
  isHeadless: true,
};

/** DistilBERT: BERT without token types. */
export const distilbert: GgufFamily = {
  ...bert,
  family: distilbertFamily,
  className: 'DistilBertModel',
  modelTypes: ['distilbert'],
  matches: () => true,
  fields: [
    ['context_length', 'max_position_embeddings'],
    ['embedding_length', 'dim'],
    ['block_count', 'n_layers'],
    ['feed_forward_length', 'hidden_dim'],
    ['attention.head_count', 'n_heads'],
    ['attention.layer_norm_epsilon', () => ({})],
    causal,
  ],
  fixed: { activation: GELU },
  more: () => ({}),
};

/** Nomic BERT. */
export const nomicBert: GgufFamily = {
  ...bert,
  architecture: 'nomic-bert',
  family: nomicBertFamily,
  className: 'NomicBertModel',
  modelTypes: ['nomic_bert'],
  fields: [...sizes, epsilon, causal, base],
  fixed: { hidden_act: ['silu'] },
};

/** ModernBERT. */
export const modernbert: GgufFamily = {
  architecture: 'modern-bert',
  family: modernbertFamily,
  className: 'ModernBertModel',
  modelTypes: ['modernbert'],
  fields: [
    ...sizes,
    ['attention.layer_norm_epsilon', 'norm_eps'],
    causal,
    ['rope.freq_base', 'global_rope_theta'],
    ['rope.freq_base_swa', 'local_rope_theta'],
  ],
  fixed: { hidden_activation: GELU, norm_bias: [false], attention_bias: [false], mlp_bias: [false] },
  windows: { period: 3, first: true, field: 'local_attention' },
  isHeadless: true,
};
