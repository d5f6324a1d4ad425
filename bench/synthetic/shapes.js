// The models that can be synthesized: config.json as the Hub has it, and the number of parameters it must give.

const GPT2 = {
  activation_function: 'gelu_new',
  architectures: ['GPT2LMHeadModel'],
  attn_pdrop: 0.1,
  bos_token_id: 50256,
  embd_pdrop: 0.1,
  eos_token_id: 50256,
  initializer_range: 0.02,
  layer_norm_epsilon: 1e-5,
  model_type: 'gpt2',
  n_ctx: 1024,
  n_positions: 1024,
  resid_pdrop: 0.1,
  vocab_size: 50257,
};

/** Name on the command line -> config and its parameters (unique: a tied head is its embedding). */
export const SHAPES = {
  'gpt-neo-1.3b': {
    parameters: 1_315_575_808,
    config: {
      activation_function: 'gelu_new',
      architectures: ['GPTNeoForCausalLM'],
      attention_dropout: 0,
      attention_layers: Array.from({ length: 24 }, (_, layer) => (layer % 2 ? 'local' : 'global')),
      attention_types: [[['global', 'local'], 12]],
      bos_token_id: 50256,
      embed_dropout: 0,
      eos_token_id: 50256,
      hidden_size: 2048,
      initializer_range: 0.02,
      intermediate_size: null,
      layer_norm_epsilon: 1e-5,
      max_position_embeddings: 2048,
      model_type: 'gpt_neo',
      num_heads: 16,
      num_layers: 24,
      resid_dropout: 0,
      vocab_size: 50257,
      window_size: 256,
    },
  },
  'dialogpt-small': { parameters: 124_439_808, config: { ...GPT2, n_embd: 768, n_head: 12, n_layer: 12 } },
  'dialogpt-medium': { parameters: 354_823_168, config: { ...GPT2, n_embd: 1024, n_head: 16, n_layer: 24 } },
  'dialogpt-large': { parameters: 774_030_080, config: { ...GPT2, n_embd: 1280, n_head: 20, n_layer: 36 } },
  'codebert-base': {
    parameters: 124_645_632,
    config: {
      architectures: ['RobertaModel'],
      attention_probs_dropout_prob: 0.1,
      bos_token_id: 0,
      eos_token_id: 2,
      hidden_act: 'gelu',
      hidden_dropout_prob: 0.1,
      hidden_size: 768,
      initializer_range: 0.02,
      intermediate_size: 3072,
      layer_norm_eps: 1e-5,
      max_position_embeddings: 514,
      model_type: 'roberta',
      num_attention_heads: 12,
      num_hidden_layers: 12,
      pad_token_id: 1,
      type_vocab_size: 1,
      vocab_size: 50265,
    },
  },
  'llama-7b': {
    parameters: 6_738_415_616,
    config: {
      architectures: ['LlamaForCausalLM'],
      bos_token_id: 1,
      eos_token_id: 2,
      hidden_act: 'silu',
      hidden_size: 4096,
      initializer_range: 0.02,
      intermediate_size: 11008,
      max_position_embeddings: 2048,
      model_type: 'llama',
      num_attention_heads: 32,
      num_hidden_layers: 32,
      num_key_value_heads: 32,
      pad_token_id: 0,
      rms_norm_eps: 1e-6,
      tie_word_embeddings: false,
      vocab_size: 32000,
    },
  },
};

/** Number of layers of a config. */
export const depthOf = (config) => config[depthKey(config)];

const depthKey = (config) => ['num_layers', 'n_layer', 'num_hidden_layers'].find((name) => name in config);

/** A copy of a config with fewer layers. @throws {RangeError} when it does not have that many. */
export function cutDepth(config, layers) {
  const all = depthOf(config);
  if (!(Number.isInteger(layers) && layers >= 1 && layers <= all))
    throw new RangeError(`--layers: expected 1 to ${all}, found ${layers}`);
  const cut = { ...config, [depthKey(config)]: layers };
  if (config.attention_layers) {
    cut.attention_layers = config.attention_layers.slice(0, layers);
    // Each pair says a pattern and how often it is repeated; an odd depth does not repeat a pattern of two.
    cut.attention_types = [[cut.attention_layers, 1]];
  }
  return cut;
}
