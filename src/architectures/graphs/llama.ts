import { InputError } from '../../core/errors.js';
import type { Config } from '../../core/json.js';
import { quote } from '../../core/json.js';
import { findActivation } from '../../onnx/activations.js';
import type { Dimensions } from '../dimensions.js';
import type { ForwardFamily, ForwardPlan } from '../forward.js';
import { type Rope, readRope } from '../rope.js';
import { rotaryOf } from '../rotary.js';
import { integer, number } from './config.js';
import { outputMatrix } from './head.js';

/** Differences between the models that compute like Llama. */
interface Variant {
  readonly queryKeyValueBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  readonly window?: (layer: number) => number | undefined;
}

/** Llama: RMS norms, rotary positions, grouped queries, a gated MLP. */
export const llama: ForwardFamily = {
  modelTypes: ['llama'],
  plan: (config, size) => {
    if (layerKinds(config, size, () => false).includes(SLIDING))
      throw new InputError(`config.json: unsupported setting layer_types ${SLIDING} for model_type llama`);
    return plan(config, size, {
      queryKeyValueBias: config.attention_bias === true,
      outputBias: config.attention_bias === true,
      mlpBias: config.mlp_bias === true,
    });
  },
};

/** Mistral: like Llama without biases, with a window of `sliding_window` keys in every layer. */
export const mistral: ForwardFamily = {
  modelTypes: ['mistral'],
  plan: (config, size) => {
    const window = slidingWindow(config);
    const kinds = layerKinds(config, size, () => window !== undefined);
    if (new Set(kinds).size > 1)
      throw new InputError('config.json: unsupported layer_types that differ for model_type mistral');
    const biases = { queryKeyValueBias: false, outputBias: false, mlpBias: false };
    return plan(config, size, { ...biases, window: windowOf(kinds, window) });
  },
};

/** Qwen2: like Llama with biases on q, k and v, and optionally a window in some layers: by `layer_types`, or from `max_window_layers` on. */
export const qwen2: ForwardFamily = {
  modelTypes: ['qwen2'],
  plan: (config, size) => {
    const window = config.use_sliding_window === true ? slidingWindow(config) : undefined;
    const first = integerOrZero(config, 'max_window_layers', 28);
    const kinds = layerKinds(config, size, (layer) => window !== undefined && layer >= first);
    const biases = { queryKeyValueBias: true, outputBias: false, mlpBias: false };
    return plan(config, size, { ...biases, window: windowOf(kinds, window) });
  },
};

const SLIDING = 'sliding_attention';
const FULL = 'full_attention';

/** Returns each layer's attention type, from `layer_types` or an older config. @throws {InputError} for other names or too few. */
function layerKinds(config: Config, { layers }: Dimensions, slides: (layer: number) => boolean): string[] {
  const given = config.layer_types ?? Array.from({ length: layers }, (_, i) => (slides(i) ? SLIDING : FULL));
  if (
    Array.isArray(given) &&
    given.length === layers &&
    given.every((kind) => kind === SLIDING || kind === FULL)
  )
    return given;
  throw new InputError(
    `config.json: expected layer_types to be ${FULL} or ${SLIDING} for each of ${layers} layers, found ${quote(given)}`,
  );
}

/** Refuses sliding layers without a window, as the reference implementation does. @throws {InputError} */
function windowOf(kinds: readonly string[], window: number | undefined) {
  if (window === undefined && kinds.includes(SLIDING))
    throw new InputError(
      `config.json: layer_types has ${SLIDING}, which needs sliding_window (and use_sliding_window in qwen2)`,
    );
  return (layer: number) => (kinds[layer] === SLIDING ? window : undefined);
}

/** Refuses partial rotary positions, which this family's reference implementation does not support. @throws {InputError} */
function wholeHeads(rope: Rope): Rope {
  if (rope.share === 1) return rope;
  throw new InputError(
    `config.json: unsupported setting partial_rotary_factor = ${rope.share} for this family`,
  );
}

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
    rotary: rotaryOf(wholeHeads(readRope(config)), headSize),
    layerPrefix: (layer) => `layers.${layer}.`,
    copies: { 'lm_head.weight': 'embed_tokens.weight' },
    unneeded: /(^|\.)rotary_emb\.inv_freq$/,
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

/** Returns `sliding_window`, or the reference implementation's default; null means none. */
const DEFAULT_WINDOW = 4096;

function slidingWindow({ sliding_window: window = DEFAULT_WINDOW }: Config): number | undefined {
  if (window === null) return undefined;
  if (Number.isSafeInteger(window) && (window as number) > 0) return window as number;
  throw new InputError(
    `config.json: expected sliding_window to be a positive integer, found ${quote(window)}`,
  );
}

function integerOrZero(config: Config, key: string, fallback: number): number {
  return config[key] === 0 ? 0 : integer(config, key, fallback);
}
