// What a tensor does, from its name in any of the listed architectures.

/**
 * Name -> the trained roles it is drawn from, one for each equal part of its outputs. The first match wins.
 */
const ROLES = [
  [/(ln_\w+|layer_?norm|norm)\.weight$/i, ['norm.weight']],
  [/(ln_\w+|layer_?norm|norm)\.bias$/i, ['norm.bias']],
  [/(mlp\.c_fc|intermediate\.dense)\.bias$/, ['up.bias']],
  [/(mlp\.c_proj|layer\.\d+\.output\.dense)\.bias$/, ['down.bias']],
  [/\.bias$/, ['output.bias']],
  [/wpe|position_embeddings|token_type_embeddings/, ['position']],
  [/wte|word_embeddings|embed_tokens|lm_head/, ['token']],
  [/attn\.c_attn/, ['query', 'key', 'value']],
  [/attn\.c_proj/, ['output']],
  [/q_proj|query/, ['query']],
  [/k_proj|key/, ['key']],
  [/v_proj|value/, ['value']],
  [/out_proj|o_proj|attention\.output\.dense|pooler\.dense/, ['output']],
  [/c_fc|intermediate\.dense|gate_proj|up_proj/, ['up']],
  [/c_proj|output\.dense|down_proj/, ['down']],
];

/**
 * Sources, orientation and depth of a tensor.
 * @param {boolean} conv1d the model stores its linear layers as [in, out] (GPT-2's Conv1D) instead of [out, in]
 * @returns {{ sources: string[], transposed: boolean, layer: number | undefined }}
 * @throws {Error} when the name is not one of a listed architecture
 */
export function roleOf(name, conv1d) {
  const sources = ROLES.find(([pattern]) => pattern.test(name))?.[1];
  if (!sources) throw new Error(`${name}: a tensor whose role is not known`);
  const layer = /\.(\d+)\./.exec(name)?.[1];
  return {
    sources,
    transposed: conv1d && /\.(c_attn|c_proj|c_fc)\.weight$/.test(name),
    layer: layer === undefined ? undefined : Number(layer),
  };
}
