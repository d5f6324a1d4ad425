import { InputError } from '../../core/errors.js';
import { findActivation } from '../../onnx/activations.js';
import type { Value } from '../../onnx/graph.js';
import type { ForwardFamily } from '../forward.js';
import { readRope } from '../rope.js';
import { rotaryOf } from '../rotary.js';
import { number } from './config.js';
import { outputMatrix } from './head.js';

/** GPT-NeoX and Pythia: parallel attention and MLP, rotary positions on the first features of each head. */
export const gptNeox: ForwardFamily = {
  modelTypes: ['gpt_neox'],
  plan: (config, size) => {
    const { hiddenSize, intermediateSize, positions, vocabulary, heads, headSize } = size;
    const epsilon = number(config, 'layer_norm_eps', 1e-5);
    const activation = findActivation(config.hidden_act ?? 'gelu');
    const parallel = config.use_parallel_residual !== false;
    const bias = config.attention_bias !== false;
    const rope = readRope(config, { defaultShare: ROTARY_SHARE });
    return {
      kind: 'causal',
      context: positions,
      firstPosition: 0,
      rotary: rotaryOf(rope, rotarySize(rope.share, headSize)),
      layerPrefix: (layer) => `layers.${layer}.`,
      copies: { 'embed_out.weight': 'embed_in.weight' },
      unneeded: /^layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$/,
      embed: (g, tokens) => g.gather(g.weight('embed_in.weight', [vocabulary, hiddenSize]), tokens),
      block: (g, x, attend) => {
        const normed = g.layerNorm(x, 'input_layernorm', hiddenSize, epsilon);
        const fused = g.linear(normed, 'attention.query_key_value', 3 * hiddenSize, hiddenSize, bias);
        // interleaved by head: q, k and v of the first, then of the second
        const perHead = g.reshape(fused, [0, 0, heads, 3, headSize]);
        const [q, k, v] = g.split(perHead, [1, 1, 1], 3) as [Value, Value, Value];
        const mixed = g.linear(attend(q, k, v), 'attention.dense', hiddenSize, hiddenSize, bias);
        const attended = g.add(x, mixed);
        const normedAgain = g.layerNorm(
          parallel ? x : attended,
          'post_attention_layernorm',
          hiddenSize,
          epsilon,
        );
        const inner = g.linear(normedAgain, 'mlp.dense_h_to_4h', intermediateSize, hiddenSize);
        return g.add(
          attended,
          g.linear(activation(g, inner), 'mlp.dense_4h_to_h', hiddenSize, intermediateSize),
        );
      },
      head: (g, x) =>
        g.matmulTransposed(
          g.layerNorm(x, 'final_layer_norm', hiddenSize, epsilon),
          outputMatrix(g, config, size, 'embed_in.weight', 'embed_out.weight'),
        ),
    };
  },
};

/** Default share of rotated features. */
const ROTARY_SHARE = 0.25;

function rotarySize(share: number, headSize: number): number {
  const size = Math.floor(headSize * share);
  if (size >= 2 && size <= headSize && size % 2 === 0) return size;
  throw new InputError(
    `config.json: expected rotary_pct to give an even number of a head's ${headSize} features, found ${share}`,
  );
}
