import type { Family } from '../family.js';
import { rotary } from '../layers.js';
import { bert, encoder, tokenTypes } from './bert.js';
import { layerNorm } from './gpt2.js';
import { everyLayer } from './llama.js';

/** Nomic BERT: BERT with rotary positions, a gated MLP and fused matrices without biases. */
export const nomicBert: Family = {
  ...bert,
  name: 'Nomic BERT',
  modelTypes: ['nomic_bert'],
  classes: /^NomicBert/,
  prefixes: ['nomic_bert.', 'bert.'],
  layer: 'encoder.layers.*.',
  defaults: { positions: 2048 },
  names: {
    tokens: 'embeddings.word_embeddings',
    tokenTypes: 'embeddings.token_type_embeddings',
    embeddingNorm: 'emb_ln',
    qkv: 'attn.Wqkv',
    o: 'attn.out_proj',
    attentionNorm: 'norm1',
    up: 'mlp.fc11',
    gate: 'mlp.fc12',
    down: 'mlp.fc2',
    mlpNorm: 'norm2',
    headDense: 'cls.predictions.transform.dense',
    headNorm: 'cls.predictions.transform.layer_norm',
    output: 'cls.predictions.decoder',
    headBias: 'cls.predictions',
  },
  settings: (c, size) => {
    // the fields of the model's own code, before transformers had it
    for (const key of ['prenorm', 'parallel_block', 'causal', 'use_rms_norm', 'qkv_proj_bias'])
      c.only(key, false);
    for (const key of ['mlp_fc1_bias', 'mlp_fc2_bias', 'rotary_emb_interleaved']) c.only(key, false);
    for (const key of ['rotary_emb_fraction', 'scale_attn_weights', 'rotary_scaling_factor'])
      c.only(key, 1, true);
    c.only('activation_function', 'swiglu');
    c.skip(
      'dense_seq_output',
      'max_trained_positions',
      'rotary_emb_scale_base',
      'use_flash_attn',
      'use_xentropy',
      'pad_vocab_size_multiple',
    );
    const { types } = tokenTypes(c);
    const norm = layerNorm(c, 'layer_norm_eps', c.number('layer_norm_epsilon', 1e-12));
    const settings = encoder(c, size, {
      norm,
      activation: c.text('hidden_act', 'silu'),
      positions: everyLayer(size, { rotary: rotary(c, size.headSize, { whole: true, defaultBase: 1000 }) }),
      attention: { projection: { kind: 'fused' }, bias: false, outputBias: false },
      mlp: { gate: 'separate', bias: false },
    });
    return { ...settings, embedding: { size: size.hiddenSize, types, norm } };
  },
};
