import type { ConfigReader } from '../config-reader.js';
import type { Dimensions } from '../dimensions.js';
import type { Family } from '../family.js';
import { FULL, layerTypes, SLIDING, slidingWindow } from '../layers.js';
import type { LayerPositions } from '../settings.js';
import { biases, decoder, llama, rmsNorm, sliding } from './llama.js';

/** Qwen2: like Llama with biases on q, k and v, and optionally a window in some layers: by `layer_types`, or from `max_window_layers` on. */
export const qwen2: Family = {
  ...llama,
  name: 'Qwen2',
  modelTypes: ['qwen2'],
  classes: /^Qwen2(?!Moe|VL|_5|Audio)/,
  settings: (c, size) => {
    c.only('use_mrope', false);
    return decoder(c, size, { positions: qwenPositions(c, size), attention: { bias: true } });
  },
};

/** Qwen3: no biases, but norms of each head's queries and keys. */
export const qwen3: Family = {
  ...llama,
  name: 'Qwen3',
  modelTypes: ['qwen3'],
  classes: /^Qwen3(?!Moe|VL|Next|_5|Omni)/,
  names: { ...llama.names, qNorm: 'self_attn.q_norm', kNorm: 'self_attn.k_norm' },
  settings: (c, size) => {
    const queryKeyNorm = { over: 'head', norm: rmsNorm(c) } as const;
    return decoder(c, size, {
      positions: qwenPositions(c, size),
      attention: { ...biases(c).attention, queryKeyNorm },
    });
  },
};

/** Returns Qwen's positions: a window from layer `max_window_layers` on, if it is switched on. */
export function qwenPositions(c: ConfigReader, size: Dimensions): LayerPositions[] {
  const given = slidingWindow(c, 4096);
  const window = c.flag('use_sliding_window', false) ? given : undefined;
  const first = c.count('max_window_layers', 28);
  const types = layerTypes(c, size, (layer) => (window !== undefined && layer >= first ? SLIDING : FULL));
  return sliding(c, size, types, window);
}
