import type { Dimensions } from '../dimensions.js';
import { type Family, linear, matrix, norm, type ParameterShape, type RoleRule, repeat } from '../family.js';

const roles: readonly RoleRule[] = [
  [/^embed_tokens\./, 'token embedding'],
  [/rotary_emb\.inv_freq$/, 'buffer'],
  [/norm\./, 'norm'],
  [/\.self_attn\./, 'attention'],
  [/\.mlp\./, 'MLP'],
  [/^lm_head\./, 'head'],
];

/** Which layers have biases: Llama's config can enable them, Qwen2 always has those of q, k and v. */
interface Biases {
  readonly queryKeyValue: boolean;
  readonly output: boolean;
  readonly mlp: boolean;
}

function parameterShapes(size: Dimensions & { readonly tied: boolean }, biases: Biases): ParameterShape[] {
  const { layers, hiddenSize, intermediateSize, vocabulary } = size;
  const queries = size.heads * size.headSize;
  const keys = size.keyValueHeads * size.headSize;
  return [
    ...matrix('model.embed_tokens', vocabulary, hiddenSize),
    ...repeat(layers, (index) => {
      const layer = `model.layers.${index}`;
      return [
        ...linear(`${layer}.self_attn.q_proj`, queries, hiddenSize, biases.queryKeyValue),
        ...linear(`${layer}.self_attn.k_proj`, keys, hiddenSize, biases.queryKeyValue),
        ...linear(`${layer}.self_attn.v_proj`, keys, hiddenSize, biases.queryKeyValue),
        ...linear(`${layer}.self_attn.o_proj`, hiddenSize, queries, biases.output),
        ...linear(`${layer}.mlp.gate_proj`, intermediateSize, hiddenSize, biases.mlp),
        ...linear(`${layer}.mlp.up_proj`, intermediateSize, hiddenSize, biases.mlp),
        ...linear(`${layer}.mlp.down_proj`, hiddenSize, intermediateSize, biases.mlp),
        ...norm(`${layer}.input_layernorm`, hiddenSize, false),
        ...norm(`${layer}.post_attention_layernorm`, hiddenSize, false),
      ];
    }),
    ...norm('model.norm', hiddenSize, false),
    ...(size.tied ? [] : matrix('lm_head', vocabulary, hiddenSize)),
  ];
}

/** Llama and Mistral: RMS norms, rotary positions (no position table), gated MLP, grouped queries. */
export const llama: Family = {
  name: 'Llama',
  modelTypes: ['llama', 'mistral'],
  classes: /^(Llama|LLaMA|Mistral)/,
  prefix: 'model.',
  tiedByDefault: false,
  roles,
  parameterShapes: (size, config) =>
    parameterShapes(size, {
      queryKeyValue: config.attention_bias === true,
      output: config.attention_bias === true,
      mlp: config.mlp_bias === true,
    }),
};

/** Qwen2: like Llama, with biases on q, k and v. */
export const qwen2: Family = {
  ...llama,
  name: 'Qwen2',
  modelTypes: ['qwen2'],
  classes: /^Qwen2(?!Moe|VL)/,
  parameterShapes: (size) => parameterShapes(size, { queryKeyValue: true, output: false, mlp: false }),
};
