import type { ConfigReader } from '../config-reader.js';
import type { Family } from '../family.js';
import { FULL, layerTypes, rotary, SLIDING, slidingWindow, windows } from '../layers.js';
import type { LayerPositions, Norm } from '../settings.js';
import { biases, decoder, everyLayer, llama, type Sizes } from './llama.js';

function sideBySide(
  c: ConfigReader,
  size: Sizes,
  positions: readonly LayerPositions[],
  normsQueries: boolean,
) {
  const norm: Norm = { kind: 'layer', epsilon: c.number('layer_norm_eps', 1e-5), bias: false };
  return decoder(c, size, {
    norm,
    positions,
    pairs: 'neighbors',
    attention: {
      ...biases(c).attention,
      ...(normsQueries && { queryKeyNorm: { over: 'eachHead', norm } }),
    },
    layer: { order: 'parallel', norms: { attention: norm } },
    head: { scale: c.number('logit_scale', 0.0625) },
  });
}

/** Command R: attention and MLP side by side of one norm without bias, neighbors rotated, scaled logits. */
export const cohere: Family = {
  ...llama,
  name: 'Cohere',
  modelTypes: ['cohere'],
  classes: /^Cohere(?!2)/,
  tiedByDefault: true,
  names: { ...llama.names, qNorm: 'self_attn.q_norm', kNorm: 'self_attn.k_norm' },
  settings: (c, size) => {
    const turned = rotary(c, size.headSize, { whole: true, defaultBase: 500_000 });
    return sideBySide(c, size, everyLayer(size, { rotary: turned }), c.flag('use_qk_norm', false));
  },
};

/** Command R7B: Command R whose layers with a window are rotated, and those without have no positions. */
export const cohere2: Family = {
  ...cohere,
  name: 'Cohere 2',
  modelTypes: ['cohere2'],
  classes: /^Cohere2(?!Vision|Moe)/,
  names: llama.names,
  settings: (c, size) => {
    const every = c.integer('sliding_window_pattern', c.integer('_sliding_window_pattern', 4));
    const types = layerTypes(c, size, (layer) => ((layer + 1) % every ? SLIDING : FULL));
    const turned = rotary(c, size.headSize, { whole: true });
    const positions = windows(types, slidingWindow(c, 4096)).map((window) => ({
      window,
      rotary: window === undefined ? undefined : turned,
    }));
    c.skip(
      'order_of_interleaved_layers',
      'position_embedding_type',
      'use_gated_activation',
      'use_parallel_block',
    );
    return sideBySide(c, size, positions, false);
  },
};
