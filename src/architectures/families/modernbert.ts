import { isPlainObject } from '../../core/json.js';
import type { ConfigReader } from '../config-reader.js';
import type { Dimensions } from '../dimensions.js';
import type { Family } from '../family.js';
import { FULL, layerTypes, rotary, SLIDING } from '../layers.js';
import type { Layer, Norm } from '../settings.js';
import { encoder } from './bert.js';

/** ModernBERT: norms before attention and MLP, rotary positions, a gated MLP, and a window in two of three layers. */
export const modernbert: Family = {
  name: 'ModernBERT',
  modelTypes: ['modernbert'],
  classes: /^ModernBert(?!Decoder)/,
  prefixes: ['model.'],
  layer: 'layers.*.',
  tiedByDefault: true,
  copies: { 'decoder.weight': 'embeddings.tok_embeddings.weight' },
  names: {
    tokens: 'embeddings.tok_embeddings',
    embeddingNorm: 'embeddings.norm',
    attentionNorm: 'attn_norm',
    qkv: 'attn.Wqkv',
    o: 'attn.Wo',
    mlpNorm: 'mlp_norm',
    gateUp: 'mlp.Wi',
    down: 'mlp.Wo',
    finalNorm: 'final_norm',
    headDense: 'head.dense',
    headNorm: 'head.norm',
    output: 'decoder',
    headBias: 'decoder',
  },
  settings: (c, size) => {
    const norm: Norm = {
      kind: 'layer',
      epsilon: c.number('norm_eps', 1e-5),
      bias: c.flag('norm_bias', false),
    };
    const every = c.integer('global_attn_every_n_layers', 3);
    const types = layerTypes(c, size, (layer) => (layer % every ? SLIDING : FULL));
    const window = Math.floor(c.integer('local_attention', 128) / 2) + 1;
    const rotations = rotationsOf(c, size);
    const bias = c.flag('attention_bias', false);
    c.skip('initializer_cutoff_factor', 'embedding_dropout', 'cls_token_id', 'sep_token_id');
    const settings = encoder(c, size, {
      norm,
      activation: c.text('hidden_activation', 'gelu'),
      positions: types.map((type) =>
        type === SLIDING ? { window, rotary: rotations[SLIDING] } : { rotary: rotations[FULL] },
      ),
      attention: { projection: { kind: 'fused' }, bias, outputBias: bias },
      mlp: { gate: 'fused', bias: c.flag('mlp_bias', false) },
      layer: { order: 'pre' },
      head: {
        bias: c.flag('decoder_bias', true),
        transform: {
          activation: c.text('classifier_activation', 'gelu'),
          norm,
          bias: c.flag('classifier_bias', false),
        },
      },
    });
    // the first layer is given the normed embedding
    const first = (layer: Layer): Layer => ({ ...layer, norms: { mlp: norm } });
    return {
      ...settings,
      finalNorm: norm,
      embedding: { size: size.hiddenSize, norm },
      layers: settings.layers.map((layer, index) => (index ? layer : first(layer))),
    };
  },
};

/** Returns the rotations of full and sliding layers. */
function rotationsOf(c: ConfigReader, { headSize }: Dimensions) {
  const bases = {
    [FULL]: c.number('global_rope_theta', 160_000),
    [SLIDING]: c.number('local_rope_theta', 10_000),
  };
  const nested = isPlainObject(c.config.rope_parameters);
  const of = (type: typeof FULL | typeof SLIDING) =>
    rotary(c, headSize, { whole: true, defaultBase: bases[type], ...(nested && { layerType: type }) });
  return { [FULL]: of(FULL), [SLIDING]: of(SLIDING) };
}
