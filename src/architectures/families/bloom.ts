import type { Family } from '../family.js';
import { alibi } from '../masks.js';
import { falcon } from './falcon.js';
import { layerNorm } from './gpt2.js';
import { decoder, everyLayer } from './llama.js';

/** BLOOM: ALiBi, a norm of the embeddings, queries, keys and values of each head together. */
export const bloom: Family = {
  ...falcon,
  name: 'BLOOM',
  modelTypes: ['bloom'],
  classes: /^Bloom/,
  otherNames: {},
  names: { ...falcon.names, embeddingNorm: 'word_embeddings_layernorm' },
  settings: (c, size) => {
    const norm = layerNorm(c);
    c.skip('slow_but_exact', 'offset_alibi', 'masked_softmax_fusion');
    return decoder(c, size, {
      norm,
      positions: everyLayer(size, { bias: alibi(size.heads) }),
      embedding: { norm },
      attention: { maskByHead: true, projection: { kind: 'grouped' }, bias: true, outputBias: true },
      mlp: { gate: 'none', bias: true, size: 4 * size.hiddenSize, activation: 'gelu_new' },
      layer: { residualOfNorm: c.flag('apply_residual_connection_post_layernorm', false) },
    });
  },
};
