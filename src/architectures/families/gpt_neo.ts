import { InputError } from '../../core/errors.js';
import { quote } from '../../core/json.js';
import type { ConfigReader } from '../config-reader.js';
import type { Family } from '../family.js';
import { gpt2, layerNorm } from './gpt2.js';
import { decoder } from './llama.js';

/** GPT-Neo: like GPT-2, but scores are not divided by sqrt(head size), and every other layer has a window of `window_size` keys. */
export const gptNeo: Family = {
  ...gpt2,
  name: 'GPT-Neo',
  modelTypes: ['gpt_neo'],
  classes: /^GPTNeo(?!X)/,
  columns: false,
  buffers: /^h\.\d+\.attn\.attention\.(bias|masked_bias)$/,
  names: {
    ...gpt2.names,
    q: 'attn.attention.q_proj',
    k: 'attn.attention.k_proj',
    v: 'attn.attention.v_proj',
    o: 'attn.attention.out_proj',
  },
  settings: (c, size) => {
    const window = c.integer('window_size', 256);
    return decoder(c, size, {
      norm: layerNorm(c),
      positions: attentionKinds(c, size.layers).map((kind) => ({
        window: kind === 'local' ? window : undefined,
      })),
      embedding: { positions: { rows: size.positions, offset: 0 } },
      attention: { outputBias: true, scale: 1 },
      mlp: { gate: 'none', bias: true, activation: c.text('activation_function', 'gelu_new') },
    });
  },
};

/** Returns `global` or `local` for each layer, from `attention_layers` or by expanding `attention_types` ([[pattern, times], ...]). */
function attentionKinds(c: ConfigReader, layers: number): readonly unknown[] {
  const [given, patterns] = [c.value('attention_layers'), c.value('attention_types')];
  const types = Array.isArray(patterns) ? patterns : [[['global', 'local'], layers]];
  const all = Array.isArray(given)
    ? given
    : types.flatMap((entry) => {
        const [pattern, times] = Array.isArray(entry) ? entry : [];
        if (!Array.isArray(pattern) || !(Number(times) <= layers)) return [undefined];
        return Array.from({ length: Number(times) }, () => pattern).flat();
      });
  const kinds = all.slice(0, layers);
  if (kinds.length === layers && kinds.every((kind) => kind === 'global' || kind === 'local')) return kinds;
  throw new InputError(
    `config.json: expected attention_layers to be 'global' or 'local' for each of ${layers} layers, found ${quote(all)}`,
  );
}
