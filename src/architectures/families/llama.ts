import { InputError } from '../../core/errors.js';
import type { ConfigReader } from '../config-reader.js';
import type { Dimensions } from '../dimensions.js';
import type { Family } from '../family.js';
import {
  checkHeads,
  FULL,
  forLayers,
  layerTypes,
  rotary,
  SLIDING,
  slidingWindow,
  windows,
} from '../layers.js';
import type { Attention, Layer, LayerPositions, Mlp, Norm, Settings } from '../settings.js';

/** Dimensions, and whether the output matrix is the token embedding. */
export type Sizes = Dimensions & { readonly tied: boolean };

/** What may differ between the decoders that compute like Llama. */
export interface Variant {
  /** Of the norms; by default RMS norms without bias. */
  readonly norm?: Norm;
  readonly attention?: Partial<Attention>;
  readonly mlp?: Partial<Mlp>;
  readonly layer?: Partial<Layer>;
  readonly embedding?: Partial<Settings['embedding']>;
  readonly head?: Partial<Settings['head']>;
  /** Positions of each layer; by default rotary ones of whole heads. */
  readonly positions?: readonly LayerPositions[];
  /** Which features of a head are rotated together; by default those of its halves. */
  readonly pairs?: 'halves' | 'neighbors';
  /** By default the layers' norm; null for none. */
  readonly finalNorm?: Norm | null;
  /** Changes to single layers. */
  readonly each?: (layer: number, settings: Layer) => Layer;
}

/** Returns the settings of a decoder that computes like Llama, with its differences. */
export function decoder(c: ConfigReader, size: Sizes, variant: Variant = {}): Settings {
  const { hiddenSize, heads, keyValueHeads, headSize, vocabulary } = size;
  checkHeads(size);
  const norm = variant.norm ?? rmsNorm(c);
  const positions = variant.positions ?? everyLayer(size, { rotary: rotary(c, headSize, { whole: true }) });
  const attention: Attention = {
    causal: true,
    heads,
    keyValueHeads,
    headSize,
    valueSize: headSize,
    projection: { kind: 'separate' },
    bias: false,
    outputBias: false,
    scale: 1 / Math.sqrt(headSize),
    ...variant.attention,
  };
  const mlp: Mlp = {
    kind: 'dense',
    size: size.intermediateSize,
    gate: 'separate',
    bias: false,
    ...variant.mlp,
    activation: variant.mlp?.activation ?? c.text('hidden_act', 'silu'),
  };
  // dynamic scaling is for sequences longer than the positions of training
  const stretch = Math.max(...positions.map(({ rotary }) => rotary?.contextFactor ?? 1));
  const finalNorm = variant.finalNorm === undefined ? norm : variant.finalNorm;
  const layer = ({ rotary }: LayerPositions): Layer => ({
    order: 'pre',
    norms: { attention: norm, mlp: norm },
    mixer: rotary
      ? { ...attention, rotary: { size: rotary.size, pairs: variant.pairs ?? 'halves' } }
      : attention,
    mlp,
    ...variant.layer,
  });
  const { each = (_: number, settings: Layer) => settings } = variant;
  return {
    kind: 'causal',
    context: Math.floor(size.positions * stretch),
    vocabulary,
    hiddenSize,
    positions,
    ...(finalNorm && { finalNorm }),
    embedding: { size: hiddenSize, ...variant.embedding },
    layers: positions.map((own, index) => each(index, layer(own))),
    head: { tied: size.tied, size: hiddenSize, bias: false, ...variant.head },
  };
}

/** Returns the RMS norm of a config. */
export function rmsNorm(c: ConfigReader, epsilon = 1e-6): Norm {
  return { kind: 'rms', epsilon: c.number('rms_norm_eps', epsilon), bias: false };
}

/** Returns the same positions for every layer. */
export function everyLayer(size: Dimensions, positions: LayerPositions): LayerPositions[] {
  return forLayers(size, () => positions);
}

/** Llama: RMS norms, rotary positions, grouped queries, a gated MLP. */
export const llama: Family = {
  name: 'Llama',
  modelTypes: ['llama'],
  classes: /^(Llama|LLaMA)(?!4)/,
  prefixes: ['model.'],
  layer: 'layers.*.',
  tiedByDefault: false,
  buffers: /(^|\.)rotary_emb\.inv_freq$/,
  copies: { 'lm_head.weight': 'embed_tokens.weight' },
  names: {
    tokens: 'embed_tokens',
    attentionNorm: 'input_layernorm',
    q: 'self_attn.q_proj',
    k: 'self_attn.k_proj',
    v: 'self_attn.v_proj',
    o: 'self_attn.o_proj',
    mlpNorm: 'post_attention_layernorm',
    gate: 'mlp.gate_proj',
    up: 'mlp.up_proj',
    down: 'mlp.down_proj',
    finalNorm: 'norm',
    output: 'lm_head',
  },
  settings: (c, size) => {
    if (layerTypes(c, size, () => FULL).includes(SLIDING))
      throw new InputError(`config.json: unsupported setting layer_types ${SLIDING} for model_type llama`);
    return decoder(c, size, biases(c));
  },
};

/** Returns the biases that a config switches on. */
export function biases(c: ConfigReader): Variant {
  const bias = c.flag('attention_bias', false);
  return { attention: { bias, outputBias: bias }, mlp: { bias: c.flag('mlp_bias', false) } };
}

/** Mistral: like Llama without biases, with a window of `sliding_window` keys in every layer. */
export const mistral: Family = {
  ...llama,
  name: 'Mistral',
  modelTypes: ['mistral'],
  classes: /^Mistral(?!3)/,
  settings: (c, size) => {
    const window = slidingWindow(c, 4096);
    const types = layerTypes(c, size, () => (window === undefined ? FULL : SLIDING));
    if (new Set(types).size > 1)
      throw new InputError('config.json: unsupported layer_types that differ for model_type mistral');
    return decoder(c, size, { positions: sliding(c, size, types, window) });
  },
};

/** Returns rotary positions of whole heads, and the window of each layer that slides. */
export function sliding(
  c: ConfigReader,
  size: Dimensions,
  types: readonly string[],
  window: number | undefined,
): LayerPositions[] {
  const turned = rotary(c, size.headSize, { whole: true });
  return windows(types, window).map((own) => ({ rotary: turned, window: own }));
}

/** Ministral: Mistral whose layers may differ. */
export const ministral: Family = {
  ...llama,
  name: 'Ministral',
  modelTypes: ['ministral'],
  classes: /^Ministral(?!3)/,
  settings: (c, size) => {
    const window = slidingWindow(c, 4096);
    const types = layerTypes(c, size, () => (window === undefined ? FULL : SLIDING));
    return decoder(c, size, { positions: sliding(c, size, types, window) });
  },
};
