import type { ConfigReader } from '../config-reader.js';
import type { Family } from '../family.js';
import type { Attention, Layer, LayerPositions, Mlp, Norm, Settings } from '../settings.js';
import { layerNorm } from './gpt2.js';
import { everyLayer, type Sizes } from './llama.js';

/** What may differ between the encoders that compute like BERT. */
export interface EncoderVariant {
  readonly norm?: Norm;
  readonly activation?: string;
  /** Reserved rows at the start of the position table. */
  readonly offset?: number;
  readonly embedding?: Partial<Settings['embedding']>;
  readonly attention?: Partial<Attention>;
  readonly mlp?: Partial<Mlp>;
  readonly layer?: Partial<Layer>;
  readonly positions?: readonly LayerPositions[];
  readonly head?: Partial<Settings['head']>;
}

/** Returns the settings of an encoder that computes like BERT, with its differences. */
export function encoder(c: ConfigReader, size: Sizes, variant: EncoderVariant = {}): Settings {
  c.only('position_embedding_type', 'absolute');
  c.only('is_decoder', false);
  c.only('add_cross_attention', false);
  const { hiddenSize, intermediateSize, heads, headSize, vocabulary } = size;
  const { offset = 0 } = variant;
  const norm = variant.norm ?? layerNorm(c, 'layer_norm_eps', 1e-12);
  const activation = variant.activation ?? c.text('hidden_act', 'gelu');
  const attention: Attention = {
    causal: false,
    heads,
    keyValueHeads: heads,
    headSize,
    valueSize: headSize,
    projection: { kind: 'separate' },
    bias: true,
    outputBias: true,
    scale: 1 / Math.sqrt(headSize),
    ...variant.attention,
  };
  const mlp: Mlp = {
    kind: 'dense',
    size: intermediateSize,
    activation,
    gate: 'none',
    bias: true,
    ...variant.mlp,
  };
  const positions = variant.positions ?? everyLayer(size, {});
  return {
    kind: 'masked',
    context: size.positions - offset,
    vocabulary,
    hiddenSize,
    embedding: {
      size: hiddenSize,
      positions: { rows: size.positions, offset },
      norm,
      ...variant.embedding,
    },
    layers: positions.map(({ rotary, window }) => ({
      order: 'post',
      norms: { attention: norm, mlp: norm },
      mixer: {
        ...attention,
        ...(rotary && { rotary: { size: rotary.size, pairs: 'halves' } }),
        ...(window !== undefined && { masked: true }),
      },
      mlp,
      ...variant.layer,
    })),
    positions,
    head: {
      tied: size.tied,
      size: hiddenSize,
      bias: true,
      transform: { activation, norm, bias: true },
      ...variant.head,
    },
  };
}

/** Returns BERT's token types. */
export const tokenTypes = (c: ConfigReader) => ({ types: c.integer('type_vocab_size', 2) });

/** BERT. */
export const bert: Family = {
  name: 'BERT',
  modelTypes: ['bert'],
  classes: /^Bert(?!Generation)/,
  prefixes: ['bert.'],
  layer: 'encoder.layer.*.',
  tiedByDefault: true,
  buffers: /^embeddings\.(position_ids|token_type_ids)$/,
  unneeded: /^(pooler\.dense|cls\.seq_relationship)\.(weight|bias)$/,
  pooler: 'pooler.dense',
  copies: {
    'cls.predictions.decoder.weight': 'embeddings.word_embeddings.weight',
    'cls.predictions.decoder.bias': 'cls.predictions.bias',
  },
  names: {
    tokens: 'embeddings.word_embeddings',
    positions: 'embeddings.position_embeddings',
    tokenTypes: 'embeddings.token_type_embeddings',
    embeddingNorm: 'embeddings.LayerNorm',
    q: 'attention.self.query',
    k: 'attention.self.key',
    v: 'attention.self.value',
    o: 'attention.output.dense',
    attentionNorm: 'attention.output.LayerNorm',
    up: 'intermediate.dense',
    down: 'output.dense',
    mlpNorm: 'output.LayerNorm',
    headDense: 'cls.predictions.transform.dense',
    headNorm: 'cls.predictions.transform.LayerNorm',
    output: 'cls.predictions.decoder',
    headBias: 'cls.predictions',
  },
  settings: (c, size) => encoder(c, size, { embedding: tokenTypes(c) }),
};

/** RoBERTa, CodeBERT, CamemBERT and XLM-RoBERTa: positions start at pad_token_id + 1. */
export const roberta: Family = {
  ...bert,
  name: 'RoBERTa',
  modelTypes: ['roberta', 'xlm-roberta', 'camembert'],
  classes: /^(Roberta|XLMRoberta|Camembert)/,
  prefixes: ['roberta.'],
  copies: {
    'lm_head.decoder.weight': 'embeddings.word_embeddings.weight',
    'lm_head.decoder.bias': 'lm_head.bias',
  },
  names: {
    ...bert.names,
    headDense: 'lm_head.dense',
    headNorm: 'lm_head.layer_norm',
    output: 'lm_head.decoder',
    headBias: 'lm_head',
  },
  reservedPositions: ({ pad_token_id: padding }) => (typeof padding === 'number' ? padding : 1) + 1,
  settings: (c, size) =>
    encoder(c, size, {
      offset: roberta.reservedPositions!(c.config),
      embedding: tokenTypes(c),
      head: geluHead(layerNorm(c, 'layer_norm_eps', 1e-12)),
    }),
};

/** Returns a head whose activation is always GELU. */
export function geluHead(norm: Norm): Partial<Settings['head']> {
  return { transform: { activation: 'gelu', norm, bias: true } };
}
