import type { Family } from '../family.js';
import { rotary, slidingWindow } from '../layers.js';
import { gpt2, layerNorm } from './gpt2.js';
import { decoder, everyLayer, llama } from './llama.js';

/** StarCoder 2: layer norms, biases everywhere, a window in every layer. */
export const starcoder2: Family = {
  ...llama,
  name: 'StarCoder 2',
  modelTypes: ['starcoder2'],
  classes: /^Starcoder2/,
  tiedByDefault: true,
  names: { ...llama.names, up: 'mlp.c_fc', down: 'mlp.c_proj' },
  settings: (c, size) => {
    const window = slidingWindow(c);
    const bias = c.flag('use_bias', true);
    return decoder(c, size, {
      norm: layerNorm(c, 'norm_epsilon'),
      positions: everyLayer(size, { window, rotary: rotary(c, size.headSize, { whole: true }) }),
      attention: { bias, outputBias: bias },
      mlp: { gate: 'none', bias, activation: c.text('hidden_act', 'gelu_pytorch_tanh') },
    });
  },
};

/** StarCoder and SantaCoder: GPT-2 with rows for outputs, and one key and value for all heads. */
export const gptBigCode: Family = {
  ...gpt2,
  name: 'GPT-BigCode',
  modelTypes: ['gpt_bigcode'],
  classes: /^GPTBigCode/,
  columns: false,
  settings: (c, size) => {
    c.only('add_cross_attention', false);
    const shared = c.flag('multi_query', true);
    const sizes = { ...size, keyValueHeads: shared ? 1 : size.heads };
    return decoder(c, sizes, {
      norm: layerNorm(c),
      positions: everyLayer(size, {}),
      embedding: { positions: { rows: size.positions, offset: 0 } },
      attention: {
        projection: { kind: shared ? 'fused' : 'grouped' },
        bias: true,
        outputBias: true,
        ...(c.flag('scale_attn_weights', true) ? {} : { scale: 1 }),
      },
      mlp: { gate: 'none', bias: true, activation: c.text('activation_function', 'gelu_pytorch_tanh') },
    });
  },
};
