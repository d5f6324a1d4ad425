import type { Dimensions } from '../dimensions.js';
import { type Family, linear, matrix, norm, type ParameterShape, repeat } from '../family.js';

function encoder(prefix: string, size: Dimensions, tokenTypes: number): ParameterShape[] {
  const { layers, hiddenSize, intermediateSize } = size;
  return [
    ...matrix(`${prefix}embeddings.word_embeddings`, size.vocabulary, hiddenSize),
    ...matrix(`${prefix}embeddings.position_embeddings`, size.positions, hiddenSize),
    ...matrix(`${prefix}embeddings.token_type_embeddings`, tokenTypes, hiddenSize),
    ...norm(`${prefix}embeddings.LayerNorm`, hiddenSize),
    ...repeat(layers, (index) => {
      const layer = `${prefix}encoder.layer.${index}`;
      return [
        ...['query', 'key', 'value'].flatMap((part) =>
          linear(`${layer}.attention.self.${part}`, hiddenSize, hiddenSize),
        ),
        ...linear(`${layer}.attention.output.dense`, hiddenSize, hiddenSize),
        ...norm(`${layer}.attention.output.LayerNorm`, hiddenSize),
        ...linear(`${layer}.intermediate.dense`, intermediateSize, hiddenSize),
        ...linear(`${layer}.output.dense`, hiddenSize, intermediateSize),
        ...norm(`${layer}.output.LayerNorm`, hiddenSize),
      ];
    }),
  ];
}

function languageModelHead({ hiddenSize, vocabulary }: Dimensions, tied: boolean): ParameterShape[] {
  return [
    { name: 'lm_head.bias', shape: [vocabulary] },
    ...linear('lm_head.dense', hiddenSize, hiddenSize),
    ...norm('lm_head.layer_norm', hiddenSize),
    ...(tied ? [] : matrix('lm_head.decoder', vocabulary, hiddenSize)),
  ];
}

/** RoBERTa, CodeBERT and XLM-RoBERTa: encoders. `RobertaModel` is the bare encoder: no prefix, no head, but a pooler. */
export const roberta: Family = {
  name: 'RoBERTa',
  modelTypes: ['roberta', 'xlm-roberta', 'camembert'],
  classes: /^(Roberta|XLMRoberta|Camembert)/,
  prefix: 'roberta.',
  tiedByDefault: true,
  // positions start at pad_token_id + 1
  reservedPositions: ({ pad_token_id: padding }) => (typeof padding === 'number' ? padding : 1) + 1,
  roles: [
    [/^embeddings\.word_embeddings\./, 'token embedding'],
    [/^embeddings\.position_embeddings\./, 'position embedding'],
    [/^embeddings\.(position_ids|token_type_ids)$/, 'buffer'],
    [/^(lm_head|classifier|qa_outputs|pooler)\./, 'head'],
    [/LayerNorm\./, 'norm'],
    [/\.attention\./, 'attention'],
    [/\.(intermediate|output)\.dense\./, 'MLP'],
  ],
  parameterShapes: (size, { type_vocab_size: types, architectures }) => {
    const tokenTypes = Number.isSafeInteger(types) ? (types as number) : 1;
    const bare = Array.isArray(architectures) && /^\w+Model$/.test(String(architectures[0]));
    return bare
      ? [...encoder('', size, tokenTypes), ...linear('pooler.dense', size.hiddenSize, size.hiddenSize)]
      : [...encoder('roberta.', size, tokenTypes), ...languageModelHead(size, size.tied)];
  },
};
