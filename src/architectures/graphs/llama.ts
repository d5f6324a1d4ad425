import { InputError } from '../../errors.js';
import { quote } from '../../formats/json.js';
import type { Config, ForwardFamily, ForwardPlan } from '../../forward/family.js';
import { findActivation } from '../../forward/onnx/activations.js';
import { rotaryBase, rotaryOf } from '../../forward/rotary.js';
import type { Dimensions } from '../dimensions.js';
import { integer, number } from './config.js';
import { outputMatrix } from './head.js';

/** What differs between the models that compute like Llama. */
interface Variant {
  readonly queryKeyValueBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  readonly window?: (layer: number) => number | undefined;
}

/** Llama: RMS norms, rotary positions, queries that share keys, a gated MLP. */
export const llama: ForwardFamily = {
  modelTypes: ['llama'],
  plan: (config, size) =>
    plan(config, size, {
      queryKeyValueBias: config.attention_bias === true,
      outputBias: config.attention_bias === true,
      mlpBias: config.mlp_bias === true,
    }),
};

/** Mistral: as Llama without biases, every layer seeing the last `sliding_window` keys. */
export const mistral: ForwardFamily = {
  modelTypes: ['mistral'],
  plan: (config, size) => {
    const window = slidingWindow(config);
    const biases = { queryKeyValueBias: false, outputBias: false, mlpBias: false };
    return plan(config, size, { ...biases, window: () => window });
  },
};

/** Qwen2: as Llama with biases on q, k and v, and on request a window in the layers from `max_window_layers`. */
export const qwen2: ForwardFamily = {
  modelTypes: ['qwen2'],
  plan: (config, size) => {
    const window = config.use_sliding_window === true ? slidingWindow(config) : undefined;
    const first = window === undefined ? 0 : integer(config, 'max_window_layers', 28);
    const biases = { queryKeyValueBias: true, outputBias: false, mlpBias: false };
    return plan(config, size, { ...biases, window: (layer) => (layer >= first ? window : undefined) });
  },
};

function plan(config: Config, size: Dimensions, variant: Variant): ForwardPlan {
  const { hiddenSize, intermediateSize, heads, keyValueHeads, headSize, positions, vocabulary } = size;
  checkHeads(size);
  const epsilon = number(config, 'rms_norm_eps', 1e-6);
  const activation = findActivation(config.hidden_act ?? 'silu');
  const queries = heads * headSize;
  const keys = keyValueHeads * headSize;
  const { queryKeyValueBias, outputBias, mlpBias } = variant;
  return {
    kind: 'causal',
    context: positions,
    firstPosition: 0,
    rotary: rotaryOf(config, headSize, rotaryBase(config)),
    layerPrefix: (layer) => `layers.${layer}.`,
    ...(variant.window && { window: variant.window }),
    embed: (g, tokens) => g.gather(g.weight('embed_tokens.weight', [vocabulary, hiddenSize]), tokens),
    block: (g, x, attend) => {
      const normed = g.rmsNorm(x, 'input_layernorm', hiddenSize, epsilon);
      const mixed = attend(
        g.linear(normed, 'self_attn.q_proj', queries, hiddenSize, queryKeyValueBias),
        g.linear(normed, 'self_attn.k_proj', keys, hiddenSize, queryKeyValueBias),
        g.linear(normed, 'self_attn.v_proj', keys, hiddenSize, queryKeyValueBias),
      );
      const attended = g.add(x, g.linear(mixed, 'self_attn.o_proj', hiddenSize, queries, outputBias));
      const normedAgain = g.rmsNorm(attended, 'post_attention_layernorm', hiddenSize, epsilon);
      const gate = activation(
        g,
        g.linear(normedAgain, 'mlp.gate_proj', intermediateSize, hiddenSize, mlpBias),
      );
      const up = g.linear(normedAgain, 'mlp.up_proj', intermediateSize, hiddenSize, mlpBias);
      return g.add(
        attended,
        g.linear(g.multiply(gate, up), 'mlp.down_proj', hiddenSize, intermediateSize, mlpBias),
      );
    },
    head: (g, x) =>
      g.matmulTransposed(
        g.rmsNorm(x, 'norm', hiddenSize, epsilon),
        outputMatrix(g, config, size, 'embed_tokens.weight', 'lm_head.weight'),
      ),
  };
}

function checkHeads({ heads, keyValueHeads, headSize }: Dimensions): void {
  if (heads % keyValueHeads)
    throw new InputError(
      `config.json: expected num_attention_heads to be a multiple of num_key_value_heads, found ${heads} and ${keyValueHeads}`,
    );
  if (headSize % 2)
    throw new InputError(`config.json: rotary positions need an even head size, found ${headSize}`);
}

function slidingWindow({ sliding_window: window }: Config): number | undefined {
  if (window === undefined || window === null) return undefined;
  if (Number.isSafeInteger(window) && (window as number) > 0) return window as number;
  throw new InputError(
    `config.json: expected sliding_window to be a positive integer, found ${quote(window)}`,
  );
}
