import { isPlainObject } from '../../core/json.js';
import type { ConfigReader } from '../config-reader.js';
import type { Dimensions } from '../dimensions.js';
import type { Family } from '../family.js';
import { FULL, layerTypes, rotary, SLIDING, slidingWindow, windows } from '../layers.js';
import type { LayerPositions, Norm } from '../settings.js';
import { biases, decoder, llama, rmsNorm, type Sizes, type Variant } from './llama.js';

const gemmaNorm = (c: ConfigReader): Norm => ({ ...rmsNorm(c), plusOne: true });

/** Returns what all Gemmas have: norms that scale by 1 + weight, scaled embeddings, and the tanh GELU. */
function common(c: ConfigReader, { hiddenSize }: Sizes): Variant {
  c.only('use_bidirectional_attention', false);
  const activation = c.text('hidden_activation', c.text('hidden_act', 'gelu_pytorch_tanh'));
  return { norm: gemmaNorm(c), embedding: { scale: Math.sqrt(hiddenSize) }, mlp: { activation } };
}

/** Gemma. */
export const gemma: Family = {
  ...llama,
  name: 'Gemma',
  modelTypes: ['gemma'],
  classes: /^Gemma(?!\d)/,
  tiedByDefault: true,
  settings: (c, size) => decoder(c, size, { ...common(c, size), attention: biases(c).attention! }),
};

/** Gemma 2: norms before and after attention and MLP, soft bounds, and a window in every other layer. */
export const gemma2: Family = {
  ...gemma,
  name: 'Gemma 2',
  modelTypes: ['gemma2'],
  classes: /^Gemma2/,
  names: {
    ...llama.names,
    attentionOutNorm: 'post_attention_layernorm',
    mlpNorm: 'pre_feedforward_layernorm',
    mlpOutNorm: 'post_feedforward_layernorm',
  },
  settings: (c, size) => {
    const types = layerTypes(c, size, (layer) => (layer % 2 ? FULL : SLIDING));
    const turned = rotary(c, size.headSize, { whole: true });
    const window = slidingWindow(c, 4096);
    const positions = windows(types, window).map((own) => ({ rotary: turned, window: own }));
    return sandwich(c, size, positions, { scores: 50, logits: 30 });
  },
};

/** Returns the settings of Gemma 2 and 3. @param caps default bounds. */
function sandwich(
  c: ConfigReader,
  size: Sizes,
  positions: readonly LayerPositions[],
  caps: { readonly scores?: number; readonly logits?: number },
  more: Variant['attention'] = {},
) {
  const shared = common(c, size);
  const norm = shared.norm!;
  const scores = c.orNone('attn_logit_softcapping', caps.scores);
  const logits = c.orNone('final_logit_softcapping', caps.logits);
  return decoder(c, size, {
    ...shared,
    positions,
    attention: {
      ...biases(c).attention,
      scale: c.number('query_pre_attn_scalar', 256) ** -0.5,
      ...(scores !== undefined && { softcap: scores }),
      ...more,
    },
    layer: { norms: { attention: norm, attentionOut: norm, mlp: norm, mlpOut: norm } },
    head: logits === undefined ? {} : { softcap: logits },
  });
}

/** Gemma 3, text only or the text model inside: norms of queries and keys, and two rotations: of layers with a window and without. */
export const gemma3: Family = {
  ...gemma2,
  name: 'Gemma 3',
  modelTypes: ['gemma3_text', 'gemma3'],
  classes: /^Gemma3(?!n)/,
  prefixes: ['model.', 'language_model.model.', 'model.language_model.'],
  names: { ...gemma2.names, qNorm: 'self_attn.q_norm', kNorm: 'self_attn.k_norm' },
  unneeded: /^(model\.)?(vision_tower|multi_modal_projector)\./,
  copies: { 'lm_head.weight': 'embed_tokens.weight', 'language_model.lm_head.weight': 'embed_tokens.weight' },
  settings: (c, size) => {
    const every = c.integer('sliding_window_pattern', c.integer('_sliding_window_pattern', 6));
    const types = layerTypes(c, size, (layer) => ((layer + 1) % every ? SLIDING : FULL));
    const rotations = twoRotations(c, size, c.number('rope_local_base_freq', 10_000));
    const positions = windows(types, slidingWindow(c, 4096)).map((window, layer) => ({
      rotary: rotations[types[layer] === SLIDING ? SLIDING : FULL],
      window,
    }));
    const queryKeyNorm = { over: 'head', norm: gemmaNorm(c) } as const;
    return sandwich(c, size, positions, {}, { queryKeyNorm });
  },
};

/** Returns the rotations of full and sliding layers: by type, or in older configs `rope_scaling` for the full ones alone. */
function twoRotations(c: ConfigReader, { headSize }: Dimensions, localBase: number) {
  const nested = isPlainObject(c.config.rope_parameters) && FULL in c.config.rope_parameters;
  const options = { whole: true, defaultBase: 1e6 };
  if (nested)
    return {
      [FULL]: rotary(c, headSize, { ...options, layerType: FULL }),
      [SLIDING]: rotary(c, headSize, { ...options, defaultBase: localBase, layerType: SLIDING }),
    };
  const local = { ...c.config, rope_theta: localBase, rope_scaling: null, rope_parameters: null };
  return {
    [FULL]: rotary(c, headSize, options),
    [SLIDING]: rotary(c.of(local), headSize, { whole: true }),
  };
}
