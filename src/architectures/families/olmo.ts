import { isPlainObject } from '../../core/json.js';
import type { ConfigReader } from '../config-reader.js';
import type { Family } from '../family.js';
import { FULL, layerTypes, rotary, SLIDING, slidingWindow, windows } from '../layers.js';
import type { LayerPositions } from '../settings.js';
import { biases, decoder, llama, rmsNorm, type Sizes } from './llama.js';

/** OLMo 2: norms of what attention and MLP return, not of what they are given, and of all queries and keys. */
export const olmo2: Family = {
  ...llama,
  name: 'OLMo 2',
  modelTypes: ['olmo2'],
  classes: /^Olmo2/,
  names: {
    ...llama.names,
    attentionOutNorm: 'post_attention_layernorm',
    mlpOutNorm: 'post_feedforward_layernorm',
    mlpNorm: 'pre_feedforward_layernorm',
    qNorm: 'self_attn.q_norm',
    kNorm: 'self_attn.k_norm',
  },
  settings: (c, size) => normsAfter(c, size),
};

function normsAfter(c: ConfigReader, size: Sizes, positions?: readonly LayerPositions[]) {
  const norm = rmsNorm(c);
  return decoder(c, size, {
    ...(positions && { positions }),
    attention: { ...biases(c).attention, queryKeyNorm: { over: 'all', norm } },
    layer: { norms: { attentionOut: norm, mlpOut: norm } },
  });
}

/** OLMo 3: OLMo 2 with a window in three of four layers, which are not rescaled for longer contexts. */
export const olmo3: Family = {
  ...olmo2,
  name: 'OLMo 3',
  modelTypes: ['olmo3'],
  classes: /^Olmo3/,
  settings: (c, size) => {
    const types = layerTypes(c, size, (layer) => ((layer + 1) % 4 ? SLIDING : FULL));
    const given = c.config.rope_parameters;
    const nested = isPlainObject(given) && FULL in given;
    const options = { whole: true, defaultBase: 500_000 };
    const of = (layerType: string) => rotary(c, size.headSize, { ...options, ...(nested && { layerType }) });
    const full = of(FULL);
    const unscaled = c.of({ ...c.config, rope_scaling: null });
    const slides = nested ? of(SLIDING) : rotary(unscaled, size.headSize, options);
    const positions = windows(types, slidingWindow(c, 4096)).map((window, layer) => ({
      window,
      rotary: types[layer] === SLIDING ? slides : full,
    }));
    return normsAfter(c, size, positions);
  },
};
