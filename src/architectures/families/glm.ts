import type { Family } from '../family.js';
import { rotary } from '../layers.js';
import { decoder, everyLayer, llama, rmsNorm } from './llama.js';

/** GLM-4: like Llama with norms around attention and MLP, neighbors of half of each head rotated, and gate and up in one matrix. */
export const glm4: Family = {
  ...llama,
  name: 'GLM-4',
  modelTypes: ['glm4'],
  classes: /^Glm4(?!v|Moe)/,
  names: {
    ...llama.names,
    attentionOutNorm: 'post_self_attn_layernorm',
    gateUp: 'mlp.gate_up_proj',
    mlpOutNorm: 'post_mlp_layernorm',
  },
  settings: (c, size) => {
    const norm = rmsNorm(c, 1.5625e-7);
    return decoder(c, size, {
      norm,
      positions: everyLayer(size, { rotary: rotary(c, size.headSize, { defaultShare: 0.5 }) }),
      pairs: 'neighbors',
      attention: { bias: c.flag('attention_bias', true) },
      mlp: { gate: 'fused' },
      layer: { norms: { attention: norm, attentionOut: norm, mlp: norm, mlpOut: norm } },
    });
  },
};
