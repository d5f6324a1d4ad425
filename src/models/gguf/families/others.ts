import { cohere, cohere2 as cohere2Family } from '../../../architectures/families/cohere.js';
import { glm4 as glm4Family } from '../../../architectures/families/glm.js';
import { lfm2 as lfm2Family } from '../../../architectures/families/lfm2.js';
import { olmo2 as olmo2Family, olmo3 as olmo3Family } from '../../../architectures/families/olmo.js';
import { phi, phi3 as phi3Family } from '../../../architectures/families/phi.js';
import { stablelm as stablelmFamily } from '../../../architectures/families/stablelm.js';
import { starcoder2 as starcoder2Family } from '../../../architectures/families/starcoder.js';
import { FULL } from '../../../architectures/layers.js';
import { isAttention } from '../../../architectures/settings.js';
import type { Field, GgufFamily } from '../family.js';
import { shareOf } from './gpt.js';
import { base, hasBias, headSizes, rmsEpsilon, sizes } from './llama.js';

const layerEpsilon: Field = ['attention.layer_norm_epsilon', 'layer_norm_eps'];
const partial: Field = [
  'rope.dimension_count',
  (features, get) => ({ partial_rotary_factor: shareOf(features, get) }),
];
/** Rotary keys of architectures that rotate whole heads. */
const whole: Field = ['rope.dimension_count', () => ({})];

/** Phi-1, 1.5 and 2. */
export const phi2: GgufFamily = {
  architecture: 'phi2',
  family: phi,
  className: 'PhiForCausalLM',
  modelTypes: ['phi'],
  stems: { headBias: 'output' },
  fields: [...sizes, layerEpsilon, partial, base],
  fixed: { hidden_act: ['gelu_new', 'gelu', 'gelu_fast', 'gelu_pytorch_tanh'], qk_layernorm: [false] },
  needsOutput: true,
};

/** Phi-3 and Phi-4. */
export const phi3: GgufFamily = {
  architecture: 'phi3',
  family: phi3Family,
  className: 'Phi3ForCausalLM',
  modelTypes: ['phi3'],
  fields: [...sizes, rmsEpsilon, partial, base],
  fixed: { hidden_act: ['silu'] },
  more: () => ({ sliding_window: null }),
  factors: ['longrope'],
};

/** StableLM. */
export const stablelm: GgufFamily = {
  architecture: 'stablelm',
  family: stablelmFamily,
  className: 'StableLmForCausalLM',
  modelTypes: ['stablelm', 'stablelm_epoch'],
  fields: [...sizes, layerEpsilon, partial, base, ['use_parallel_residual', () => ({})]],
  fixed: { hidden_act: ['silu'] },
  more: (_, names) => ({
    use_parallel_residual: !names.has('blk.0.ffn_norm.weight'),
    use_qkv_bias: hasBias(names, 'attn_q', 'attn_k', 'attn_v'),
    qk_layernorm: names.has('blk.0.attn_q_norm.weight'),
  }),
  needsOutput: true,
};

/** GLM-4. */
export const glm4: GgufFamily = {
  architecture: 'glm4',
  family: glm4Family,
  className: 'Glm4ForCausalLM',
  modelTypes: ['glm4'],
  fields: [...sizes, ...headSizes, rmsEpsilon, partial, base],
  fixed: { hidden_act: ['silu'] },
  more: (_, names) => ({ attention_bias: hasBias(names, 'attn_q', 'attn_k', 'attn_v') }),
};

/** StarCoder 2. */
export const starcoder2: GgufFamily = {
  architecture: 'starcoder2',
  family: starcoder2Family,
  className: 'Starcoder2ForCausalLM',
  modelTypes: ['starcoder2'],
  fields: [...sizes, ['attention.layer_norm_epsilon', 'norm_epsilon'], whole, base],
  fixed: {
    hidden_act: ['gelu_pytorch_tanh', 'gelu', 'gelu_new', 'gelu_fast'],
    use_bias: [true],
  },
  more: () => ({ sliding_window: null }),
};

/** OLMo 2. */
export const olmo2: GgufFamily = {
  architecture: 'olmo2',
  family: olmo2Family,
  className: 'Olmo2ForCausalLM',
  modelTypes: ['olmo2'],
  matches: (get) => !get('attention.sliding_window'),
  fields: [...sizes, rmsEpsilon, whole, base],
  fixed: { hidden_act: ['silu'], attention_bias: [false] },
  needsOutput: true,
};

/** OLMo 3. */
export const olmo3: GgufFamily = {
  ...olmo2,
  family: olmo3Family,
  className: 'Olmo3ForCausalLM',
  modelTypes: ['olmo3'],
  matches: (get) => Boolean(get('attention.sliding_window')),
  windows: { period: 4 },
};

/** Command R. */
export const commandR: GgufFamily = {
  architecture: 'command-r',
  family: cohere,
  className: 'CohereForCausalLM',
  modelTypes: ['cohere'],
  fields: [...sizes, layerEpsilon, whole, base, ['logit_scale', 'logit_scale']],
  fixed: { hidden_act: ['silu'], attention_bias: [false] },
  more: (get) => ({ use_qk_norm: (get('block_count') as number) >= 64 }),
  isTied: true,
};

/** Command R7B. */
export const cohere2: GgufFamily = {
  ...commandR,
  architecture: 'cohere2',
  family: cohere2Family,
  className: 'Cohere2ForCausalLM',
  modelTypes: ['cohere2'],
  more: () => ({}),
  windows: { period: 4 },
  refuses: ({ positions }) =>
    positions.every(({ window }) => window === undefined) ? 'layers that all lack a window' : undefined,
};

/** LFM2: layers without heads of keys are convolutions. */
export const lfm2: GgufFamily = {
  architecture: 'lfm2',
  family: lfm2Family,
  className: 'Lfm2ForCausalLM',
  modelTypes: ['lfm2'],
  stems: { finalNorm: 'token_embd_norm' },
  fields: [
    ...sizes.slice(0, -1),
    ['attention.head_count_kv', () => ({})],
    ['shortconv.l_cache', 'conv_L_cache'],
    ['attention.layer_norm_rms_epsilon', 'norm_eps'],
    whole,
    base,
  ],
  fixed: { conv_bias: [false], block_auto_adjust_ff_dim: [false, true] },
  more: (get) => {
    const given = get('attention.head_count_kv') ?? get('attention.head_count');
    const layers = new Array(get('block_count') as number).fill(given) as unknown[];
    const heads = (Array.isArray(given) ? given : layers) as readonly number[];
    return {
      num_key_value_heads: Math.max(...heads),
      layer_types: heads.map((count) => (count === 0 ? 'conv' : FULL)),
    };
  },
  refuses: ({ layers }) =>
    layers.some(({ mixer }) => isAttention(mixer)) ? undefined : 'layers without attention',
};
