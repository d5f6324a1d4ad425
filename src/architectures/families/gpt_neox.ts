import type { Family } from '../family.js';
import { rotary } from '../layers.js';
import { layerNorm } from './gpt2.js';
import { decoder, everyLayer } from './llama.js';

/** GPT-NeoX and Pythia: parallel attention and MLP, rotary positions on the first features of each head. */
export const gptNeox: Family = {
  name: 'GPT-NeoX',
  modelTypes: ['gpt_neox'],
  classes: /^GPTNeoX/,
  prefixes: ['gpt_neox.'],
  layer: 'layers.*.',
  tiedByDefault: false,
  buffers: /^layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$/,
  copies: { 'embed_out.weight': 'embed_in.weight' },
  names: {
    tokens: 'embed_in',
    attentionNorm: 'input_layernorm',
    mlpNorm: 'post_attention_layernorm',
    qkv: 'attention.query_key_value',
    o: 'attention.dense',
    up: 'mlp.dense_h_to_4h',
    down: 'mlp.dense_4h_to_h',
    finalNorm: 'final_layer_norm',
    output: 'embed_out',
  },
  settings: (c, size) => {
    const bias = c.flag('attention_bias', true);
    const norm = layerNorm(c, 'layer_norm_eps');
    return decoder(c, size, {
      norm,
      positions: everyLayer(size, { rotary: rotary(c, size.headSize, { defaultShare: 0.25 }) }),
      attention: { projection: { kind: 'grouped' }, bias, outputBias: bias },
      mlp: { gate: 'none', bias: true, activation: c.text('hidden_act', 'gelu') },
      layer: { order: c.flag('use_parallel_residual', true) ? 'parallel' : 'pre' },
    });
  },
};
