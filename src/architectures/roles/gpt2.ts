import { type Family, matrix, norm, type ParameterShape, repeat } from '../family.js';

/** GPT-2's Conv1D: a linear layer whose matrix is stored [in, out]. */
function transposedLinear(name: string, outputs: number, inputs: number): ParameterShape[] {
  return [...matrix(name, inputs, outputs), { name: `${name}.bias`, shape: [outputs] }];
}

/** GPT-2 and DialoGPT. `attn.bias` is the causal mask, `attn.c_attn.bias` a parameter. */
export const gpt2: Family = {
  name: 'GPT-2',
  modelTypes: ['gpt2'],
  classes: /^GPT2/,
  prefix: 'transformer.',
  tiedByDefault: true,
  roles: [
    [/^wte\./, 'token embedding'],
    [/^wpe\./, 'position embedding'],
    [/\.attn\.(bias|masked_bias)$/, 'buffer'],
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
        ...transposedLinear(`${layer}.attn.c_attn`, 3 * hiddenSize, hiddenSize),
        ...transposedLinear(`${layer}.attn.c_proj`, hiddenSize, hiddenSize),
        ...norm(`${layer}.ln_2`, hiddenSize),
        ...transposedLinear(`${layer}.mlp.c_fc`, intermediateSize, hiddenSize),
        ...transposedLinear(`${layer}.mlp.c_proj`, hiddenSize, intermediateSize),
      ];
    }),
    ...norm('transformer.ln_f', hiddenSize),
    ...(tied ? [] : matrix('lm_head', vocabulary, hiddenSize)),
  ],
};
