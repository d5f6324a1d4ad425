import type { ConfigReader } from '../config-reader.js';
import type { Dimensions } from '../dimensions.js';
import type { Family } from '../family.js';
import { rotaryOf } from '../rotary.js';
import type { Attention } from '../settings.js';
import { gpt2, layerNorm } from './gpt2.js';
import { decoder, everyLayer, type Sizes } from './llama.js';

/** GPT-J: attention and MLP side by side of one norm, and neighbors of the first `rotary_dim` features of a head are rotated. */
export const gptj: Family = {
  ...gpt2,
  name: 'GPT-J',
  modelTypes: ['gptj'],
  classes: /^GPTJ/,
  columns: false,
  tiedByDefault: false,
  names: {
    tokens: 'wte',
    attentionNorm: 'ln_1',
    q: 'attn.q_proj',
    k: 'attn.k_proj',
    v: 'attn.v_proj',
    o: 'attn.out_proj',
    up: 'mlp.fc_in',
    down: 'mlp.fc_out',
    finalNorm: 'ln_f',
    output: 'lm_head',
    headBias: 'lm_head',
  },
  settings: (c, size) => neighborsRotated(c, size, { kind: 'separate' }),
};

function neighborsRotated(c: ConfigReader, size: Sizes, projection: Attention['projection']) {
  const norm = layerNorm(c);
  return decoder(c, size, {
    norm,
    positions: everyLayer(size, { rotary: firstFeatures(c, size) }),
    pairs: 'neighbors',
    attention: { projection },
    mlp: { gate: 'none', bias: true, activation: c.text('activation_function', 'gelu_new') },
    layer: { order: 'parallel', norms: { attention: norm } },
    head: { bias: true },
  });
}

function firstFeatures(c: ConfigReader, { headSize }: Dimensions) {
  const features = c.orNone('rotary_dim', 64) ?? headSize;
  return rotaryOf({ base: 10_000, share: 1, scaling: { type: 'default' } }, features);
}

/** CodeGen: GPT-J with one matrix for queries, values and keys, in four parts. */
export const codegen: Family = {
  ...gptj,
  name: 'CodeGen',
  modelTypes: ['codegen'],
  classes: /^CodeGen/,
  buffers: /^h\.\d+\.attn\.causal_mask$/,
  names: { ...gptj.names, qkv: 'attn.qkv_proj' },
  settings: (c, size) => neighborsRotated(c, size, { kind: 'parts', parts: 4 }),
};
