import { readRope } from '../../../architectures/rope.js';
import type { Config } from '../../../core/json.js';
import { countOf, type Field, type GgufFamily, rotaryPairs, type Stem } from '../family.js';

const headSize = (config: Config) => countOf(config, 'hidden_size') / countOf(config, 'num_attention_heads');

/** Keys that state the head size; in files all three must be equal. */
const headSizeFields: readonly Field[] = [
  'attention.key_length',
  'attention.value_length',
  'rope.dimension_count',
].map((key) => ({ key, field: 'head_dim', type: 'uint32', fallback: headSize }));

const fields: readonly Field[] = [
  { key: 'context_length', field: 'max_position_embeddings', type: 'uint32' },
  { key: 'embedding_length', field: 'hidden_size', type: 'uint32' },
  { key: 'block_count', field: 'num_hidden_layers', type: 'uint32' },
  { key: 'feed_forward_length', field: 'intermediate_size', type: 'uint32' },
  { key: 'attention.head_count', field: 'num_attention_heads', type: 'uint32' },
  {
    key: 'attention.head_count_kv',
    field: 'num_key_value_heads',
    type: 'uint32',
    fallback: ({ num_attention_heads }) => num_attention_heads,
  },
  ...headSizeFields,
  { key: 'attention.layer_norm_rms_epsilon', field: 'rms_norm_eps', type: 'float32', fallback: () => 1e-6 },
  {
    key: 'rope.freq_base',
    field: 'rope_theta',
    type: 'float32',
    value: (config) => readRope(config).base,
    fallback: () => 10_000,
  },
];

const common: readonly Stem[] = [
  ['token_embd', 'model.embed_tokens'],
  ['blk.*.attn_norm', 'model.layers.*.input_layernorm'],
  ['blk.*.attn_v', 'model.layers.*.self_attn.v_proj'],
  ['blk.*.attn_output', 'model.layers.*.self_attn.o_proj'],
  ['blk.*.ffn_norm', 'model.layers.*.post_attention_layernorm'],
  ['blk.*.ffn_gate', 'model.layers.*.mlp.gate_proj'],
  ['blk.*.ffn_up', 'model.layers.*.mlp.up_proj'],
  ['blk.*.ffn_down', 'model.layers.*.mlp.down_proj'],
  ['output_norm', 'model.norm'],
  ['output', 'lm_head'],
];

/** Returns whether any of these projections has a bias in the first layer; the graph then requires all of them. */
const hasBias = (names: ReadonlySet<string>, projections: readonly string[]) =>
  [...names].some((name) => projections.some((projection) => name.endsWith(`.${projection}.bias`)));

/** Llama, and architectures that compute like it. */
export const llama: GgufFamily = {
  architecture: 'llama',
  modelType: 'llama',
  className: 'LlamaForCausalLM',
  prefix: 'model.',
  stems: [
    ...common,
    ['blk.*.attn_q', 'model.layers.*.self_attn.q_proj', rotaryPairs('num_attention_heads')],
    ['blk.*.attn_k', 'model.layers.*.self_attn.k_proj', rotaryPairs('num_key_value_heads')],
  ],
  buffers: /rotary_emb\.inv_freq$/,
  fields,
  fixed: { hidden_act: ['silu'] },
  fromTensors: (names) => ({
    attention_bias: hasBias(names, ['attn_q', 'attn_k', 'attn_v', 'attn_output']),
    mlp_bias: hasBias(names, ['ffn_gate', 'ffn_up', 'ffn_down']),
  }),
  needsOutput: false,
};

/** Qwen2 and Qwen2.5: like Llama, but with q and k in the Hub's order. */
export const qwen2: GgufFamily = {
  ...llama,
  architecture: 'qwen2',
  modelType: 'qwen2',
  className: 'Qwen2ForCausalLM',
  stems: [
    ...common,
    ['blk.*.attn_q', 'model.layers.*.self_attn.q_proj'],
    ['blk.*.attn_k', 'model.layers.*.self_attn.k_proj'],
  ],
  fixed: { hidden_act: ['silu'], use_sliding_window: [false] },
  fromTensors: () => ({}),
};
