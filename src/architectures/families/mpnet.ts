import type { Family } from '../family.js';
import { bert, encoder, geluHead, roberta } from './bert.js';
import { layerNorm } from './gpt2.js';
import { everyLayer } from './llama.js';

/** Buckets and largest distance of the reference implementation. */
const BUCKETS = 32;
const MAX_DISTANCE = 128;

/** MPNet: BERT with learned scores by distance, which all layers share. */
export const mpnet: Family = {
  ...roberta,
  name: 'MPNet',
  modelTypes: ['mpnet'],
  classes: /^MPNet/,
  prefixes: ['mpnet.'],
  names: {
    ...roberta.names,
    q: 'attention.attn.q',
    k: 'attention.attn.k',
    v: 'attention.attn.v',
    o: 'attention.attn.o',
    attentionNorm: 'attention.LayerNorm',
    relative: 'encoder.relative_attention_bias',
  },
  reservedPositions: () => 2,
  settings: (c, size) => {
    c.only('relative_attention_num_buckets', BUCKETS);
    const norm = layerNorm(c, 'layer_norm_eps', 1e-12);
    return encoder(c, size, {
      offset: 2,
      attention: { masked: true, relative: { buckets: BUCKETS } },
      positions: everyLayer(size, { maxDistance: MAX_DISTANCE }),
      head: geluHead(norm),
    });
  },
};

/** ELECTRA's generator and encoder: BERT with embeddings of another size. */
export const electra: Family = {
  ...bert,
  name: 'ELECTRA',
  modelTypes: ['electra'],
  classes: /^Electra/,
  prefixes: ['electra.'],
  unneeded: /^(pooler\.dense|discriminator_predictions\.\w+)\.(weight|bias)$/,
  copies: {
    'generator_lm_head.weight': 'embeddings.word_embeddings.weight',
  },
  names: {
    ...bert.names,
    projectIn: 'embeddings_project',
    headDense: 'generator_predictions.dense',
    headNorm: 'generator_predictions.LayerNorm',
    output: 'generator_lm_head',
    headBias: 'generator_lm_head',
  },
  settings: (c, size) => {
    const width = c.integer('embedding_size', 128);
    const types = c.integer('type_vocab_size', 2);
    const project = width === size.hiddenSize ? {} : { project: { bias: true } };
    return encoder(c, size, {
      embedding: { size: width, types, ...project },
      head: { size: width, ...geluHead(layerNorm(c, 'layer_norm_eps', 1e-12)) },
    });
  },
};
