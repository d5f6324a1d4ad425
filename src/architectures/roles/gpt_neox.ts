import { type Family, linear, matrix, norm, repeat } from '../family.js';

/** GPT-NeoX and Pythia: rotary positions, fused q, k and v, a separate head named `embed_out`. */
export const gptNeox: Family = {
  name: 'GPT-NeoX',
  modelTypes: ['gpt_neox'],
  classes: /^GPTNeoX/,
  prefix: 'gpt_neox.',
  tiedByDefault: false,
  roles: [
    [/^embed_in\./, 'token embedding'],
    [/\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$/, 'buffer'],
    [/layer_?norm\./, 'norm'],
    [/\.attention\./, 'attention'],
    [/\.mlp\./, 'MLP'],
    [/^embed_out\./, 'head'],
  ],
  parameterShapes: ({ layers, hiddenSize, intermediateSize, vocabulary, tied }, config) => [
    ...matrix('gpt_neox.embed_in', vocabulary, hiddenSize),
    ...repeat(layers, (index) => {
      const layer = `gpt_neox.layers.${index}`;
      const bias = config.attention_bias !== false;
      return [
        ...norm(`${layer}.input_layernorm`, hiddenSize),
        ...norm(`${layer}.post_attention_layernorm`, hiddenSize),
        ...linear(`${layer}.attention.query_key_value`, 3 * hiddenSize, hiddenSize, bias),
        ...linear(`${layer}.attention.dense`, hiddenSize, hiddenSize, bias),
        ...linear(`${layer}.mlp.dense_h_to_4h`, intermediateSize, hiddenSize),
        ...linear(`${layer}.mlp.dense_4h_to_h`, hiddenSize, intermediateSize),
      ];
    }),
    ...norm('gpt_neox.final_layer_norm', hiddenSize),
    ...(tied ? [] : matrix('embed_out', vocabulary, hiddenSize)),
  ],
};
