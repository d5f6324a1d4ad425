import { countOf, type GgufFamily, transposed } from '../family.js';

/** GPT-2 and DialoGPT. */
export const gpt2: GgufFamily = {
  architecture: 'gpt2',
  modelType: 'gpt2',
  className: 'GPT2LMHeadModel',
  prefix: 'transformer.',
  stems: [
    ['token_embd', 'transformer.wte'],
    ['position_embd', 'transformer.wpe'],
    ['blk.*.attn_norm', 'transformer.h.*.ln_1'],
    ['blk.*.attn_qkv', 'transformer.h.*.attn.c_attn', transposed],
    ['blk.*.attn_output', 'transformer.h.*.attn.c_proj', transposed],
    ['blk.*.ffn_norm', 'transformer.h.*.ln_2'],
    ['blk.*.ffn_up', 'transformer.h.*.mlp.c_fc', transposed],
    ['blk.*.ffn_down', 'transformer.h.*.mlp.c_proj', transposed],
    ['output_norm', 'transformer.ln_f'],
    ['output', 'lm_head'],
  ],
  buffers: /\.attn\.(bias|masked_bias)$/,
  fields: [
    {
      key: 'context_length',
      field: 'n_positions',
      type: 'uint32',
      fallback: ({ n_ctx }) => n_ctx,
    },
    { key: 'embedding_length', field: 'n_embd', type: 'uint32' },
    { key: 'block_count', field: 'n_layer', type: 'uint32' },
    {
      key: 'feed_forward_length',
      field: 'n_inner',
      type: 'uint32',
      fallback: (config) => 4 * countOf(config, 'n_embd'),
    },
    { key: 'attention.head_count', field: 'n_head', type: 'uint32' },
    {
      key: 'attention.layer_norm_epsilon',
      field: 'layer_norm_epsilon',
      type: 'float32',
      fallback: () => 1e-5,
    },
  ],
  fixed: {
    activation_function: ['gelu_new', 'gelu', 'gelu_fast', 'gelu_pytorch_tanh'],
    scale_attn_weights: [true],
    scale_attn_by_inverse_layer_idx: [false],
    add_cross_attention: [false],
  },
  needsOutput: false,
};
