import type { Family } from '../family.js';
import { rotary, slidingWindow } from '../layers.js';
import { layerNorm } from './gpt2.js';
import { decoder, everyLayer, llama } from './llama.js';

/** Phi-1, 1.5 and 2: attention and MLP side by side of one norm, rotary positions on a part of each head, biases everywhere. */
export const phi: Family = {
  ...llama,
  name: 'Phi',
  modelTypes: ['phi'],
  classes: /^Phi(?!\d)/,
  names: {
    ...llama.names,
    o: 'self_attn.dense',
    qNorm: 'self_attn.q_layernorm',
    kNorm: 'self_attn.k_layernorm',
    up: 'mlp.fc1',
    down: 'mlp.fc2',
    finalNorm: 'final_layernorm',
    headBias: 'lm_head',
  },
  settings: (c, size) => {
    const norm = layerNorm(c, 'layer_norm_eps');
    const normsQueries = c.flag('qk_layernorm', false);
    return decoder(c, size, {
      norm,
      positions: everyLayer(size, { rotary: rotary(c, size.headSize, { defaultShare: 0.5 }) }),
      attention: {
        bias: true,
        outputBias: true,
        ...(normsQueries && { queryKeyNorm: { over: 'head', norm } }),
      },
      mlp: { gate: 'none', bias: true, activation: c.text('hidden_act', 'gelu_new') },
      layer: { order: 'parallel', norms: { attention: norm } },
      head: { bias: true },
    });
  },
};

/** Phi-3 and Phi-4: like Llama with fused matrices, and a window in every layer. */
export const phi3: Family = {
  ...llama,
  name: 'Phi-3',
  modelTypes: ['phi3'],
  classes: /^Phi3(?!V)/,
  names: { ...llama.names, qkv: 'self_attn.qkv_proj', gateUp: 'mlp.gate_up_proj' },
  settings: (c, size) => {
    const window = slidingWindow(c);
    const turned = rotary(c, size.headSize, { defaultOriginal: 4096 });
    return decoder(c, size, {
      positions: everyLayer(size, { rotary: turned, window }),
      attention: { projection: { kind: 'fused' } },
      mlp: { gate: 'fused' },
    });
  },
};
