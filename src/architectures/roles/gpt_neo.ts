import { type Family, linear, matrix, norm, repeat } from '../family.js';

/** GPT-Neo and TinyStories: like GPT-2, but with separate q, k and v, without bias, stored [out, in]. */
export const gptNeo: Family = {
  name: 'GPT-Neo',
  modelTypes: ['gpt_neo'],
  classes: /^GPTNeo(?!X)/,
  prefix: 'transformer.',
  tiedByDefault: true,
  roles: [
    [/^wte\./, 'token embedding'],
    [/^wpe\./, 'position embedding'],
    [/\.attn\.attention\.(bias|masked_bias)$/, 'buffer'],
    [/\.attn\./, 'attention'],
    [/\.mlp\./, 'MLP'],
    [/(^|\.)ln_/, 'norm'],
    [/^lm_head\./, 'head'],
  ],
  parameterShapes: ({ layers, hiddenSize, intermediateSize, positions, vocabulary, tied }) => [
    ...matrix('transformer.wte', vocabulary, hiddenSize),
    ...matrix('transformer.wpe', positions, hiddenSize),
    ...repeat(layers, (index) => {
      const layer = `transformer.h.${index}`;
      return [
        ...norm(`${layer}.ln_1`, hiddenSize),
        ...['k', 'v', 'q'].flatMap((part) =>
          matrix(`${layer}.attn.attention.${part}_proj`, hiddenSize, hiddenSize),
        ),
        ...linear(`${layer}.attn.attention.out_proj`, hiddenSize, hiddenSize),
        ...norm(`${layer}.ln_2`, hiddenSize),
        ...linear(`${layer}.mlp.c_fc`, intermediateSize, hiddenSize),
        ...linear(`${layer}.mlp.c_proj`, hiddenSize, intermediateSize),
      ];
    }),
    ...norm('transformer.ln_f', hiddenSize),
    ...(tied ? [] : matrix('lm_head', vocabulary, hiddenSize)),
  ],
};
