import type { Family } from '../family.js';
import type { Norm } from '../settings.js';
import { decoder, everyLayer } from './llama.js';

/** Rows of the position table before that of the first token. */
const OFFSET = 2;

/** OPT: learned positions, norms before or (350M) after, and embeddings of another size in 350M. */
export const opt: Family = {
  name: 'OPT',
  modelTypes: ['opt'],
  classes: /^OPT/,
  prefixes: ['model.decoder.', 'decoder.'],
  layer: 'layers.*.',
  tiedByDefault: true,
  copies: { 'lm_head.weight': 'embed_tokens.weight' },
  names: {
    tokens: 'embed_tokens',
    positions: 'embed_positions',
    projectIn: 'project_in',
    attentionNorm: 'self_attn_layer_norm',
    q: 'self_attn.q_proj',
    k: 'self_attn.k_proj',
    v: 'self_attn.v_proj',
    o: 'self_attn.out_proj',
    mlpNorm: 'final_layer_norm',
    up: 'fc1',
    down: 'fc2',
    finalNorm: 'final_layer_norm',
    projectOut: 'project_out',
    output: 'lm_head',
  },
  settings: (c, size) => {
    c.only('layer_norm_elementwise_affine', true);
    const norm: Norm = { kind: 'layer', epsilon: 1e-5, bias: true };
    const width = c.integer('word_embed_proj_dim', size.hiddenSize);
    const before = c.flag('do_layer_norm_before', true);
    const last = before && !c.flag('_remove_final_layer_norm', false);
    const bias = c.flag('enable_bias', true);
    return decoder(c, size, {
      norm,
      finalNorm: last ? norm : null,
      positions: everyLayer(size, {}),
      embedding: {
        size: width,
        positions: { rows: size.positions + OFFSET, offset: OFFSET },
        ...(width !== size.hiddenSize && { project: { bias: false } }),
      },
      attention: { bias, outputBias: bias },
      mlp: { gate: 'none', bias, activation: c.text('activation_function', 'relu') },
      layer: { order: before ? 'pre' : 'post' },
      head: { size: width },
    });
  },
};
