import type { ConfigReader } from '../config-reader.js';
import type { Family } from '../family.js';
import type { Norm } from '../settings.js';
import { decoder, everyLayer } from './llama.js';

/** Returns the layer norm of a config. */
export function layerNorm(c: ConfigReader, key = 'layer_norm_epsilon', epsilon = 1e-5): Norm {
  return { kind: 'layer', epsilon: c.number(key, epsilon), bias: true };
}

/** GPT-2 and DialoGPT. */
export const gpt2: Family = {
  name: 'GPT-2',
  modelTypes: ['gpt2'],
  classes: /^GPT2/,
  prefixes: ['transformer.'],
  layer: 'h.*.',
  columns: true,
  tiedByDefault: true,
  buffers: /^h\.\d+\.attn\.(bias|masked_bias)$/,
  copies: { 'lm_head.weight': 'wte.weight' },
  names: {
    tokens: 'wte',
    positions: 'wpe',
    attentionNorm: 'ln_1',
    qkv: 'attn.c_attn',
    o: 'attn.c_proj',
    mlpNorm: 'ln_2',
    up: 'mlp.c_fc',
    down: 'mlp.c_proj',
    finalNorm: 'ln_f',
    output: 'lm_head',
  },
  settings: (c, size) => {
    c.only('scale_attn_by_inverse_layer_idx', false);
    c.only('add_cross_attention', false);
    c.skip('reorder_and_upcast_attn');
    return decoder(c, size, {
      norm: layerNorm(c),
      positions: everyLayer(size, {}),
      embedding: { positions: { rows: size.positions, offset: 0 } },
      attention: {
        projection: { kind: 'fused' },
        bias: true,
        outputBias: true,
        ...(c.flag('scale_attn_weights', true) ? {} : { scale: 1 }),
      },
      mlp: { gate: 'none', bias: true, activation: c.text('activation_function', 'gelu_new') },
    });
  },
};
