import type { Family } from '../family.js';
import { bert, encoder } from './bert.js';

/** ALBERT: one layer's weights for all layers, and embeddings of another size. */
export const albert: Family = {
  ...bert,
  name: 'ALBERT',
  modelTypes: ['albert'],
  classes: /^Albert/,
  prefixes: ['albert.'],
  layer: 'encoder.albert_layer_groups.0.albert_layers.0.',
  unneeded: /^(pooler|sop_classifier\.classifier)\.(weight|bias)$/,
  pooler: 'pooler',
  copies: {
    'predictions.decoder.weight': 'embeddings.word_embeddings.weight',
    'predictions.decoder.bias': 'predictions.bias',
  },
  names: {
    ...bert.names,
    projectIn: 'encoder.embedding_hidden_mapping_in',
    q: 'attention.query',
    k: 'attention.key',
    v: 'attention.value',
    o: 'attention.dense',
    attentionNorm: 'attention.LayerNorm',
    up: 'ffn',
    down: 'ffn_output',
    mlpNorm: 'full_layer_layer_norm',
    headDense: 'predictions.dense',
    headNorm: 'predictions.LayerNorm',
    output: 'predictions.decoder',
    headBias: 'predictions',
  },
  settings: (c, size) => {
    c.only('num_hidden_groups', 1);
    c.only('inner_group_num', 1);
    c.skip('down_scale_factor', 'gap_size', 'net_structure_type', 'num_memory_blocks');
    const width = c.integer('embedding_size', 128);
    const types = c.integer('type_vocab_size', 2);
    return encoder(c, size, {
      activation: c.text('hidden_act', 'gelu_new'),
      embedding: { size: width, types, project: { bias: true } },
      head: { size: width },
    });
  },
};
