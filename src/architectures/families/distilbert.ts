import type { Family } from '../family.js';
import { bert, encoder } from './bert.js';

/** DistilBERT: BERT without token types. */
export const distilbert: Family = {
  ...bert,
  name: 'DistilBERT',
  modelTypes: ['distilbert'],
  classes: /^DistilBert/,
  prefixes: ['distilbert.'],
  layer: 'transformer.layer.*.',
  copies: {
    'vocab_projector.weight': 'embeddings.word_embeddings.weight',
  },
  names: {
    tokens: 'embeddings.word_embeddings',
    positions: 'embeddings.position_embeddings',
    embeddingNorm: 'embeddings.LayerNorm',
    q: 'attention.q_lin',
    k: 'attention.k_lin',
    v: 'attention.v_lin',
    o: 'attention.out_lin',
    attentionNorm: 'sa_layer_norm',
    up: 'ffn.lin1',
    down: 'ffn.lin2',
    mlpNorm: 'output_layer_norm',
    headDense: 'vocab_transform',
    headNorm: 'vocab_layer_norm',
    output: 'vocab_projector',
    headBias: 'vocab_projector',
  },
  settings: (c, size) => {
    c.skip('sinusoidal_pos_embds'); // the table is stored
    const norm = { kind: 'layer', epsilon: 1e-12, bias: true } as const;
    return encoder(c, size, { norm, activation: c.text('activation', 'gelu') });
  },
};
