import { readRope } from '../../../architectures/rope.js';
import type { Config } from '../../../core/json.js';
import { byHead, countOf, type GgufFamily } from '../family.js';

const rope = (config: Config) => readRope(config, { defaultShare: 0.25 });
const headSize = (config: Config) => countOf(config, 'hidden_size') / countOf(config, 'num_attention_heads');

/** GPT-NeoX and Pythia. */
export const gptneox: GgufFamily = {
  architecture: 'gptneox',
  modelType: 'gpt_neox',
  className: 'GPTNeoXForCausalLM',
  prefix: 'gpt_neox.',
  stems: [
    ['token_embd', 'gpt_neox.embed_in'],
    ['blk.*.attn_norm', 'gpt_neox.layers.*.input_layernorm'],
    ['blk.*.attn_qkv', 'gpt_neox.layers.*.attention.query_key_value', byHead('num_attention_heads')],
    ['blk.*.attn_output', 'gpt_neox.layers.*.attention.dense'],
    ['blk.*.ffn_norm', 'gpt_neox.layers.*.post_attention_layernorm'],
    ['blk.*.ffn_up', 'gpt_neox.layers.*.mlp.dense_h_to_4h'],
    ['blk.*.ffn_down', 'gpt_neox.layers.*.mlp.dense_4h_to_h'],
    ['output_norm', 'gpt_neox.final_layer_norm'],
    ['output', 'embed_out'],
  ],
  buffers: /\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$/,
  fields: [
    { key: 'context_length', field: 'max_position_embeddings', type: 'uint32' },
    { key: 'embedding_length', field: 'hidden_size', type: 'uint32' },
    { key: 'block_count', field: 'num_hidden_layers', type: 'uint32' },
    { key: 'feed_forward_length', field: 'intermediate_size', type: 'uint32' },
    { key: 'attention.head_count', field: 'num_attention_heads', type: 'uint32' },
    {
      key: 'rope.dimension_count',
      field: 'rotary_pct',
      type: 'uint32',
      value: (config) => rope(config).share,
      fallback: () => 0.25,
      read: (features, config) => features / headSize(config),
      write: (share, config) => Math.floor(share * headSize(config)),
    },
    {
      key: 'rope.freq_base',
      field: 'rotary_emb_base',
      type: 'float32',
      value: (config) => rope(config).base,
      fallback: () => 10_000,
    },
    { key: 'attention.layer_norm_epsilon', field: 'layer_norm_eps', type: 'float32', fallback: () => 1e-5 },
    { key: 'use_parallel_residual', field: 'use_parallel_residual', type: 'bool', fallback: () => true },
  ],
  fixed: { hidden_act: ['gelu', 'gelu_new', 'gelu_fast', 'gelu_pytorch_tanh'], attention_bias: [true] },
  needsOutput: true,
};
