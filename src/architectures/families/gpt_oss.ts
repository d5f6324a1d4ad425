import type { Family } from '../family.js';
import { FULL, layerTypes, rotary, SLIDING, slidingWindow, windows } from '../layers.js';
import type { Experts } from '../settings.js';
import { experts } from './experts.js';
import { decoder, llama, rmsNorm } from './llama.js';

/** gpt-oss: experts with bounds and biases, a window in every other layer, and a score per head that takes attention from all keys. */
export const gptOss: Family = {
  ...llama,
  name: 'gpt-oss',
  modelTypes: ['gpt_oss'],
  classes: /^GptOss/,
  names: {
    ...llama.names,
    sinks: 'self_attn.sinks',
    router: 'mlp.router',
    expertGateUp: 'mlp.experts.gate_up_proj',
    expertDown: 'mlp.experts.down_proj',
  },
  settings: (c, size) => {
    const types = layerTypes(c, size, (layer) => (layer % 2 ? FULL : SLIDING));
    const turned = rotary(c, size.headSize, { whole: true, defaultBase: 150_000 });
    const bias = c.flag('attention_bias', true);
    const found = experts(size.intermediateSize, c.text('hidden_act', 'silu'), {
      count: c.integer('num_local_experts', 128),
      active: c.integer('num_experts_per_tok', c.integer('experts_per_token', 4)),
      scoring: 'softmaxOfChosen',
      normalize: false,
      routerBias: true,
      stored: 'stackedColumns',
      clamped: { limit: c.number('swiglu_limit', 7), gain: c.number('swiglu_alpha', 1.702) },
    });
    const mlp: Experts = { ...found, expert: { ...found.expert, gate: 'fused', bias: true } };
    c.skip('initial_context_length');
    return decoder(c, size, {
      norm: rmsNorm(c, 1e-5),
      positions: windows(types, slidingWindow(c, 128)).map((window) => ({ window, rotary: turned })),
      attention: { bias, outputBias: bias, sinks: true },
      layer: { mlp },
    });
  },
};
