import { findActivation } from '../../onnx/activations.js';
import type { Graph, Value } from '../../onnx/graph.js';
import type { ForwardFamily } from '../forward.js';
import { number, refuse } from './config.js';
import { outputMatrix } from './head.js';

/** GPT-2 and DialoGPT. */
export const gpt2: ForwardFamily = {
  modelTypes: ['gpt2'],
  plan: (config, size) => {
    refuse(config, { scale_attn_by_inverse_layer_idx: [true], add_cross_attention: [true] });
    const { hiddenSize, intermediateSize, positions, vocabulary } = size;
    const epsilon = number(config, 'layer_norm_epsilon', 1e-5);
    const activation = findActivation(config.activation_function ?? 'gelu_new');
    const scale = config.scale_attn_weights === false ? 1 : undefined;
    return {
      kind: 'causal',
      context: positions,
      firstPosition: 0,
      layerPrefix: (layer) => `h.${layer}.`,
      copies: { 'lm_head.weight': 'wte.weight' },
      unneeded: /^h\.\d+\.attn\.(bias|masked_bias)$/,
      embed: (g, tokens, position) =>
        g.add(
          g.gather(g.weight('wte.weight', [vocabulary, hiddenSize]), tokens),
          g.gather(g.weight('wpe.weight', [positions, hiddenSize]), position()),
        ),
      block: (g, x, attend) => {
        const normed = g.layerNorm(x, 'ln_1', hiddenSize, epsilon);
        const fused = convolution(g, normed, 'attn.c_attn', hiddenSize, 3 * hiddenSize);
        const [q, k, v] = g.split(fused, [hiddenSize, hiddenSize, hiddenSize], 2) as [Value, Value, Value];
        const mixed = convolution(g, attend(q, k, v, scale), 'attn.c_proj', hiddenSize, hiddenSize);
        const attended = g.add(x, mixed);
        const inner = convolution(
          g,
          g.layerNorm(attended, 'ln_2', hiddenSize, epsilon),
          'mlp.c_fc',
          hiddenSize,
          intermediateSize,
        );
        const outer = convolution(g, activation(g, inner), 'mlp.c_proj', intermediateSize, hiddenSize);
        return g.add(attended, outer);
      },
      head: (g, x) =>
        g.matmulTransposed(
          g.layerNorm(x, 'ln_f', hiddenSize, epsilon),
          outputMatrix(g, config, size, 'wte.weight', 'lm_head.weight'),
        ),
    };
  },
};

/** GPT-2's Conv1D: a linear layer whose matrix is stored [inputs, outputs]. */
function convolution(g: Graph, x: Value, name: string, inputs: number, outputs: number): Value {
  const product = g.matmul(x, g.weight(`${name}.weight`, [inputs, outputs]));
  return g.add(product, g.weight(`${name}.bias`, [outputs]));
}
