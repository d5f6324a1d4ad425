import type { ConfigReader } from '../config-reader.js';
import type { Family } from '../family.js';
import { FULL, layerTypes, rotary } from '../layers.js';
import { decoder, everyLayer, llama, rmsNorm, type Sizes } from './llama.js';

const CONVOLUTION = 'conv';

/** LFM2: gated short convolutions in most layers, attention in the others. */
export const lfm2: Family = {
  ...llama,
  name: 'LFM2',
  modelTypes: ['lfm2'],
  classes: /^Lfm2(?!Moe|Vl)/,
  tiedByDefault: true,
  names: {
    ...llama.names,
    attentionNorm: 'operator_norm',
    o: 'self_attn.out_proj',
    qNorm: 'self_attn.q_layernorm',
    kNorm: 'self_attn.k_layernorm',
    convIn: 'conv.in_proj',
    conv: 'conv.conv',
    convOut: 'conv.out_proj',
    mlpNorm: 'ffn_norm',
    gate: 'feed_forward.w1',
    up: 'feed_forward.w3',
    down: 'feed_forward.w2',
    finalNorm: 'embedding_norm',
  },
  settings: (c, size) => {
    const norm = { ...rmsNorm(c), epsilon: c.number('norm_eps', 1e-5) };
    const full = c.value('full_attn_idxs');
    const attends = (layer: number) => !Array.isArray(full) || full.includes(layer);
    const types = layerTypes(c, size, (layer) => (attends(layer) ? FULL : CONVOLUTION), [FULL, CONVOLUTION]);
    const mixer = { taps: c.integer('conv_L_cache', 3), bias: c.flag('conv_bias', false) };
    c.skip('block_dim', 'block_norm_eps', 'block_use_swiglu', 'block_mlp_init_scale', 'block_out_init_scale');
    c.skip(
      'block_use_xavier_init',
      'conv_dim',
      'conv_dim_out',
      'conv_use_xavier_init',
      'use_pos_enc',
      'theta',
    );
    return decoder(c, size, {
      norm,
      positions: everyLayer(size, {
        rotary: rotary(c, size.headSize, { whole: true, defaultBase: 1e6 }),
      }),
      attention: { queryKeyNorm: { over: 'head', norm } },
      mlp: { size: innerSize(c, size), activation: 'silu' },
      each: (layer, settings) => (types[layer] === CONVOLUTION ? { ...settings, mixer } : settings),
    });
  },
};

/** Returns the MLP's inner size: by default two thirds of the config's, rounded up to a multiple. */
function innerSize(c: ConfigReader, { intermediateSize }: Sizes): number {
  const given = c.integer('block_ff_dim', intermediateSize);
  const multiple = c.integer('block_multiple_of', 256);
  const multiplier = c.number('block_ffn_dim_multiplier', 1);
  if (!c.flag('block_auto_adjust_ff_dim', true)) return given;
  const scaled = Math.trunc(multiplier * Math.trunc((2 * given) / 3));
  return multiple * Math.ceil(scaled / multiple);
}
