import {
  qwen2Moe as qwen2MoeFamily,
  qwen3Moe as qwen3MoeFamily,
} from '../../../architectures/families/experts.js';
import { qwen2 as qwen2Family, qwen3 as qwen3Family } from '../../../architectures/families/qwen.js';
import type { Field, GgufFamily } from '../family.js';
import { hasBias, llamaFields } from './llama.js';

/** Qwen2 and Qwen2.5: like Llama, but with q and k in the Hub's order. */
export const qwen2: GgufFamily = {
  architecture: 'qwen2',
  family: qwen2Family,
  className: 'Qwen2ForCausalLM',
  modelTypes: ['qwen2'],
  fields: llamaFields,
  fixed: { hidden_act: ['silu'], use_sliding_window: [false] },
};

/** Qwen3. */
export const qwen3: GgufFamily = {
  ...qwen2,
  architecture: 'qwen3',
  family: qwen3Family,
  className: 'Qwen3ForCausalLM',
  modelTypes: ['qwen3'],
  fixed: { ...qwen2.fixed, attention_bias: [false] },
};

const experts: readonly Field[] = [
  ['expert_count', 'num_experts'],
  ['expert_used_count', 'num_experts_per_tok'],
  ['expert_feed_forward_length', 'moe_intermediate_size'],
];

/** Qwen2-MoE, in which every layer has experts. */
export const qwen2Moe: GgufFamily = {
  ...qwen2,
  architecture: 'qwen2moe',
  family: qwen2MoeFamily,
  className: 'Qwen2MoeForCausalLM',
  modelTypes: ['qwen2_moe'],
  fields: [
    ...llamaFields,
    ...experts,
    ['expert_shared_feed_forward_length', 'shared_expert_intermediate_size'],
  ],
  fixed: { ...qwen2.fixed, norm_topk_prob: [false], decoder_sparse_step: [1] },
  more: (_, names) => ({ qkv_bias: hasBias(names, 'attn_q', 'attn_k', 'attn_v') }),
  needsOutput: true,
};

/** Qwen3-MoE, in which every layer has experts. */
export const qwen3Moe: GgufFamily = {
  ...qwen3,
  architecture: 'qwen3moe',
  family: qwen3MoeFamily,
  className: 'Qwen3MoeForCausalLM',
  modelTypes: ['qwen3_moe'],
  fields: [...llamaFields, ...experts],
  fixed: { ...qwen3.fixed, norm_topk_prob: [true], decoder_sparse_step: [1] },
};
