import { mixtral as mixtralFamily } from '../../../architectures/families/experts.js';
import { granite as graniteFamily } from '../../../architectures/families/granite.js';
import { llama as llamaFamily } from '../../../architectures/families/llama.js';
import { smollm3 as smollm3Family } from '../../../architectures/families/smollm3.js';
import type { Field, GgufFamily, Shapes } from '../family.js';

/** Sizes, as llama and most others name them. */
export const sizes: readonly Field[] = [
  ['context_length', 'max_position_embeddings'],
  ['embedding_length', 'hidden_size'],
  ['block_count', 'num_hidden_layers'],
  ['feed_forward_length', 'intermediate_size'],
  ['attention.head_count', 'num_attention_heads'],
  ['attention.head_count_kv', 'num_key_value_heads'],
];

/** Keys that state the head size; in files all must be equal. */
export const headSizes: readonly Field[] = [
  ['attention.key_length', 'head_dim'],
  ['attention.value_length', 'head_dim'],
];

export const rmsEpsilon: Field = ['attention.layer_norm_rms_epsilon', 'rms_norm_eps'];
export const base: Field = ['rope.freq_base', 'rope_theta'];

/** Llama's keys. */
export const llamaFields: readonly Field[] = [
  ...sizes,
  ...headSizes,
  ['rope.dimension_count', 'head_dim'],
  rmsEpsilon,
  base,
];

/** Returns whether any of these tensors has a bias; the graph then requires all of them. */
export const hasBias = (shapes: Shapes, ...stems: readonly string[]) =>
  [...shapes.keys()].some((name) => stems.some((stem) => name.endsWith(`.${stem}.bias`)));

const biases: GgufFamily['more'] = (_, names) => ({
  attention_bias: hasBias(names, 'attn_q', 'attn_k', 'attn_v', 'attn_output'),
  mlp_bias: hasBias(names, 'ffn_gate', 'ffn_up', 'ffn_down'),
});

/** Llama, and architectures that compute like it. */
export const llama: GgufFamily = {
  architecture: 'llama',
  family: llamaFamily,
  className: 'LlamaForCausalLM',
  modelTypes: ['llama', 'mistral', 'ministral'],
  matches: (get) => !get('expert_count'),
  pairs: 'neighbors',
  fields: llamaFields,
  fixed: { hidden_act: ['silu'] },
  more: biases,
  factors: ['llama3', 'longrope'],
};

/** Mixtral. */
export const mixtral: GgufFamily = {
  ...llama,
  family: mixtralFamily,
  className: 'MixtralForCausalLM',
  modelTypes: ['mixtral'],
  matches: (get) => Boolean(get('expert_count')),
  fields: [
    ...llamaFields,
    ['expert_count', 'num_local_experts'],
    ['expert_used_count', 'num_experts_per_tok'],
  ],
  more: () => ({ sliding_window: null }),
};

/** SmolLM3: every fourth layer has no positions. */
export const smollm3: GgufFamily = {
  ...llama,
  architecture: 'smollm3',
  family: smollm3Family,
  className: 'SmolLM3ForCausalLM',
  modelTypes: ['smollm3'],
  matches: () => true,
  fixed: {
    hidden_act: ['silu'],
    attention_bias: [false],
    mlp_bias: [false],
    use_sliding_window: [false],
    no_rope_layer_interval: [4],
  },
  more: () => ({}),
  factors: [],
};

/** Granite's multipliers. */
export const graniteFields: readonly Field[] = [
  ['logit_scale', 'logits_scaling', ({ head }) => 1 / (head.scale ?? 1)],
  ['embedding_scale', 'embedding_multiplier'],
  ['residual_scale', 'residual_multiplier'],
  ['attention.scale', 'attention_multiplier'],
];

/** Granite. */
export const granite: GgufFamily = {
  ...llama,
  architecture: 'granite',
  family: graniteFamily,
  className: 'GraniteForCausalLM',
  modelTypes: ['granite'],
  matches: (get) => !get('expert_count'),
  fields: [...llamaFields, ...graniteFields],
};
