import type { Family } from '../family.js';
import { FULL, forLayers, layerTypes, rotary, SLIDING, slidingWindow, windows } from '../layers.js';
import { biases, decoder, llama } from './llama.js';

/** SmolLM3: like Llama, with layers that have no positions, and optionally a window. */
export const smollm3: Family = {
  ...llama,
  name: 'SmolLM3',
  modelTypes: ['smollm3'],
  classes: /^SmolLM3/,
  tiedByDefault: true,
  settings: (c, size) => {
    const every = c.integer('no_rope_layer_interval', 4);
    const turns =
      c.list('no_rope_layers', size.layers) ?? forLayers(size, (layer) => ((layer + 1) % every ? 1 : 0));
    const given = slidingWindow(c);
    const window = c.flag('use_sliding_window', false) ? given : undefined;
    const types = layerTypes(c, size, (layer) => (window !== undefined && !turns[layer] ? SLIDING : FULL));
    const turned = rotary(c, size.headSize, { whole: true, defaultBase: 2e6 });
    const positions = windows(types, window).map((own, layer) => ({
      window: own,
      rotary: turns[layer] ? turned : undefined,
    }));
    return decoder(c, size, { ...biases(c), positions });
  },
};
