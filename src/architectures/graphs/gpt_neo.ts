import { InputError } from '../../core/errors.js';
import type { Config } from '../../core/json.js';
import { quote } from '../../core/json.js';
import { findActivation } from '../../onnx/activations.js';
import type { ForwardFamily } from '../forward.js';
import { integer, number } from './config.js';
import { outputMatrix } from './head.js';

/**
 * GPT-Neo: like GPT-2, but scores are not divided by sqrt(head size), and every other layer has a local window of `window_size` keys.
 */
export const gptNeo: ForwardFamily = {
  modelTypes: ['gpt_neo'],
  plan: (config, size) => {
    const { hiddenSize, intermediateSize, positions, vocabulary } = size;
    const epsilon = number(config, 'layer_norm_epsilon', 1e-5);
    const activation = findActivation(config.activation_function ?? 'gelu_new');
    const kinds = attentionKinds(config, size.layers);
    const window = integer(config, 'window_size', 256);
    return {
      kind: 'causal',
      context: positions,
      firstPosition: 0,
      layerPrefix: (layer) => `h.${layer}.`,
      copies: { 'lm_head.weight': 'wte.weight' },
      unneeded: /^h\.\d+\.attn\.attention\.(bias|masked_bias)$/,
      window: (layer) => (kinds[layer] === 'local' ? window : undefined),
      embed: (g, tokens, position) =>
        g.add(
          g.gather(g.weight('wte.weight', [vocabulary, hiddenSize]), tokens),
          g.gather(g.weight('wpe.weight', [positions, hiddenSize]), position()),
        ),
      block: (g, x, attend) => {
        const normed = g.layerNorm(x, 'ln_1', hiddenSize, epsilon);
        const project = (part: string) =>
          g.linear(normed, `attn.attention.${part}_proj`, hiddenSize, hiddenSize, false);
        const mixed = attend(project('q'), project('k'), project('v'), 1);
        const attended = g.add(x, g.linear(mixed, 'attn.attention.out_proj', hiddenSize, hiddenSize));
        const inner = g.linear(
          g.layerNorm(attended, 'ln_2', hiddenSize, epsilon),
          'mlp.c_fc',
          intermediateSize,
          hiddenSize,
        );
        return g.add(attended, g.linear(activation(g, inner), 'mlp.c_proj', hiddenSize, intermediateSize));
      },
      head: (g, x) =>
        g.matmulTransposed(
          g.layerNorm(x, 'ln_f', hiddenSize, epsilon),
          outputMatrix(g, config, size, 'wte.weight', 'lm_head.weight'),
        ),
    };
  },
};

/** Returns `global` or `local` for each layer, from `attention_layers` or by expanding `attention_types` ([[pattern, times], ...]). */
function attentionKinds(config: Config, layers: number): readonly unknown[] {
  const types = Array.isArray(config.attention_types)
    ? config.attention_types
    : [[['global', 'local'], layers]];
  const kinds = Array.isArray(config.attention_layers)
    ? config.attention_layers
    : types.flatMap((entry) => {
        const [pattern, times] = Array.isArray(entry) ? entry : [];
        if (!Array.isArray(pattern) || !(Number(times) <= layers)) return [undefined];
        return Array.from({ length: Number(times) }, () => pattern).flat();
      });
  const given = kinds.slice(0, layers);
  if (given.length === layers && given.every((kind) => kind === 'global' || kind === 'local')) return given;
  throw new InputError(
    `config.json: expected attention_layers to be 'global' or 'local' for each of ${layers} layers, found ${quote(kinds)}`,
  );
}
