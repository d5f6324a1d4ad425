import { deepseekV2, deepseekV3 } from '../../../architectures/families/deepseek.js';
import {
  graniteMoe as graniteMoeFamily,
  olmoe as olmoeFamily,
} from '../../../architectures/families/experts.js';
import { gptOss as gptOssFamily } from '../../../architectures/families/gpt_oss.js';
import type { ForwardPlan } from '../../../architectures/forward.js';
import { isAttention } from '../../../architectures/settings.js';
import type { Field, GgufFamily } from '../family.js';
import { latentOf } from '../keys.js';
import { base, granite as graniteBase, headSizes, rmsEpsilon, sizes } from './llama.js';

const experts: readonly Field[] = [
  ['expert_count', 'num_local_experts'],
  ['expert_used_count', 'num_experts_per_tok'],
];
const whole: Field = ['rope.dimension_count', () => ({})];

/** OLMoE. */
export const olmoe: GgufFamily = {
  architecture: 'olmoe',
  family: olmoeFamily,
  className: 'OlmoeForCausalLM',
  modelTypes: ['olmoe'],
  fields: [...sizes, rmsEpsilon, whole, base, ['expert_count', 'num_experts'], experts[1]!],
  fixed: { hidden_act: ['silu'], norm_topk_prob: [false], attention_bias: [false] },
  needsOutput: true,
  refuses: ({ layers }) =>
    layers.some(({ mixer }) => isAttention(mixer) && mixer.keyValueHeads !== mixer.heads)
      ? 'num_key_value_heads below num_attention_heads'
      : undefined,
};

/** Granite-MoE. */
export const graniteMoe: GgufFamily = {
  ...graniteBase,
  architecture: 'granitemoe',
  family: graniteMoeFamily,
  className: 'GraniteMoeForCausalLM',
  modelTypes: ['granitemoe'],
  matches: (get) => Boolean(get('expert_count')),
  fields: [...graniteBase.fields, ...experts],
};

/** gpt-oss. */
export const gptOss: GgufFamily = {
  architecture: 'gpt-oss',
  family: gptOssFamily,
  className: 'GptOssForCausalLM',
  modelTypes: ['gpt_oss'],
  stems: { mlpNorm: 'post_attention_norm' },
  fields: [
    ...sizes.filter(([key]) => key !== 'feed_forward_length'),
    ['feed_forward_length', () => ({})],
    ['expert_feed_forward_length', 'intermediate_size'],
    ...headSizes,
    ['rope.dimension_count', 'head_dim'],
    rmsEpsilon,
    base,
    ...experts,
  ],
  fixed: { hidden_act: ['silu'], swiglu_limit: [7], swiglu_alpha: [1.702], attention_bias: [true] },
  windows: { period: 2 },
  needsOutput: true,
};

/** llama.cpp computes attention on the latent vectors, as one head of keys for all. */
const deepseekFields: readonly Field[] = [
  ...sizes.slice(0, -1),
  ['attention.head_count_kv', () => ({}), () => 1],
  ['attention.key_length', () => ({}), (plan) => rankOf(plan, 'rotated') + rankOf(plan, 'rank')],
  ['attention.value_length', () => ({}), (plan) => rankOf(plan, 'rank')],
  rmsEpsilon,
  ['rope.dimension_count', 'qk_rope_head_dim'],
  base,
  ['attention.q_lora_rank', (rank) => ({ q_lora_rank: rank || null })],
  ['attention.kv_lora_rank', 'kv_lora_rank'],
  [
    'attention.key_length_mla',
    (length, get) => ({ qk_nope_head_dim: length - (get('rope.dimension_count') as number) }),
  ],
  ['attention.value_length_mla', 'v_head_dim'],
  ['leading_dense_block_count', 'first_k_dense_replace'],
  ['expert_count', 'n_routed_experts'],
  ['expert_used_count', 'num_experts_per_tok'],
  ['expert_feed_forward_length', 'moe_intermediate_size'],
  ['expert_shared_count', 'n_shared_experts'],
  ['expert_weights_scale', 'routed_scaling_factor'],
  ['expert_weights_norm', 'norm_topk_prob'],
  ['expert_gating_func', () => ({})],
];

function rankOf(plan: ForwardPlan, which: 'rank' | 'rotated'): number {
  return latentOf(plan)?.[which] ?? 0;
}

/** The epsilon of the norms in DeepSeek's attention; llama.cpp has one epsilon for all norms. */
const EPSILON = 1e-6;

/** Refuses other epsilons, which DeepSeek's attention ignores. */
function refuses(plan: ForwardPlan): string | undefined {
  const epsilon = plan.finalNorm?.epsilon;
  return latentOf(plan) && epsilon !== EPSILON ? `rms_norm_eps other than ${EPSILON}` : undefined;
}

/** DeepSeek-V2, whose experts are chosen without groups. */
export const deepseek2: GgufFamily = {
  architecture: 'deepseek2',
  family: deepseekV2,
  className: 'DeepseekV2ForCausalLM',
  modelTypes: ['deepseek_v2'],
  matches: (get) => get('expert_gating_func') !== 2,
  fields: deepseekFields,
  fixed: { hidden_act: ['silu'], topk_method: ['greedy'], attention_bias: [false] },
  more: (get) => ({ num_key_value_heads: get('attention.head_count') }),
  refuses,
};

/** DeepSeek-V3 and R1. */
export const deepseek3: GgufFamily = {
  ...deepseek2,
  family: deepseekV3,
  className: 'DeepseekV3ForCausalLM',
  modelTypes: ['deepseek_v3'],
  matches: (get) => get('expert_gating_func') === 2,
  fields: [...deepseekFields, ['expert_group_count', 'n_group'], ['expert_group_used_count', 'topk_group']],
  fixed: { hidden_act: ['silu'], rope_interleave: [true], attention_bias: [false] },
};
