import type { Family } from '../family.js';
import { rotary } from '../layers.js';
import { layerNorm } from './gpt2.js';
import { decoder, everyLayer, llama } from './llama.js';

/** StableLM: layer norms, rotary positions on a part of each head, and norms of single heads in some models. */
export const stablelm: Family = {
  ...llama,
  name: 'StableLM',
  modelTypes: ['stablelm', 'stablelm_epoch'],
  classes: /^StableLm/,
  names: { ...llama.names, qNorm: 'self_attn.q_layernorm', kNorm: 'self_attn.k_layernorm' },
  settings: (c, size) => {
    const norm = layerNorm(c, 'layer_norm_eps');
    const parallel = c.flag('use_parallel_residual', false);
    const normsQueries = c.flag('qk_layernorm', false);
    return decoder(c, size, {
      norm,
      positions: everyLayer(size, { rotary: rotary(c, size.headSize, { defaultShare: 0.25 }) }),
      attention: {
        bias: c.flag('use_qkv_bias', false),
        ...(normsQueries && { queryKeyNorm: { over: 'listedHeads', norm: { ...norm, bias: false } } }),
      },
      layer: parallel ? { order: 'parallel', norms: { attention: norm } } : {},
    });
  },
};
