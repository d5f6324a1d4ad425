import {
  gemma2 as gemma2Family,
  gemma3 as gemma3Family,
  gemma as gemmaFamily,
} from '../../../architectures/families/gemma.js';
import type { GgufFamily } from '../family.js';
import type { Get } from '../keys.js';
import { base, headSizes, rmsEpsilon, sizes } from './llama.js';

const fields: GgufFamily['fields'] = [...sizes, ...headSizes, rmsEpsilon, base];
const TANH = ['gelu_pytorch_tanh', 'gelu_new', 'gelu_fast'];

/** Gemma. */
export const gemma: GgufFamily = {
  architecture: 'gemma',
  family: gemmaFamily,
  className: 'GemmaForCausalLM',
  modelTypes: ['gemma'],
  fields,
  fixed: {},
  more: () => ({ hidden_activation: TANH[0] }),
  isTied: true,
};

/** Returns the divisor of scores, squared, which llama.cpp knows by the number of layers. @param large that of the largest model. */
const scalarOf = (get: Get, large: number) =>
  get('block_count') === large
    ? Math.trunc((get('embedding_length') as number) / (get('attention.head_count') as number))
    : (get('attention.key_length') ??
      (get('embedding_length') as number) / (get('attention.head_count') as number));

/** Gemma 2. */
export const gemma2: GgufFamily = {
  ...gemma,
  architecture: 'gemma2',
  family: gemma2Family,
  className: 'Gemma2ForCausalLM',
  modelTypes: ['gemma2'],
  fields: [
    ...fields,
    ['attn_logit_softcapping', 'attn_logit_softcapping'],
    ['final_logit_softcapping', 'final_logit_softcapping'],
  ],
  more: (get) => ({ hidden_activation: TANH[0], query_pre_attn_scalar: scalarOf(get, 46) }),
  windows: { period: 2, size: 4096 },
};

/** Gemma 3, the text model. */
export const gemma3: GgufFamily = {
  ...gemma,
  architecture: 'gemma3',
  family: gemma3Family,
  className: 'Gemma3ForCausalLM',
  modelTypes: ['gemma3_text', 'gemma3'],
  fields: [
    ...fields,
    ['rope.freq_base_swa', 'rope_local_base_freq'],
    ['final_logit_softcapping', 'final_logit_softcapping'],
  ],
  more: (get) => ({ hidden_activation: TANH[0], query_pre_attn_scalar: scalarOf(get, 62) }),
  windows: { period: 6 },
  isTied: false,
};
