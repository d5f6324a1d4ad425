import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { exportGguf } from '../../../dist/index.js';
import { buildProgram } from '../../../dist/inference/program.js';
import { chatTemplateOf, renderChat } from '../../../dist/tokenizer/chat-template.js';
import { readTokenizerFiles } from '../../../dist/tokenizer/files.js';
import { loadTokenizer } from '../../../dist/tokenizer/tokenizer.js';
import { attempt, checkFolder } from '../checks.js';
import { safetensors, text } from '../formats.js';
import { jsonBytes, mutateBytes, mutateJson } from '../mutate.js';

const CONFIGS = [
  {
    model_type: 'llama',
    hidden_size: 8,
    intermediate_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    vocab_size: 12,
    max_position_embeddings: 32,
    rms_norm_eps: 1e-5,
    hidden_act: 'silu',
    rope_theta: 10000,
    rope_scaling: {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 16,
    },
    tie_word_embeddings: true,
    bos_token_id: 0,
    eos_token_id: [0, 1],
    quantization_config: { quant_method: 'gptq', bits: 4 },
  },
  {
    model_type: 'qwen2',
    hidden_size: 8,
    intermediate_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    vocab_size: 12,
    max_position_embeddings: 32,
    rms_norm_eps: 1e-6,
    hidden_act: 'silu',
    rope_parameters: { rope_type: 'default', rope_theta: 1e6 },
    tie_word_embeddings: true,
    use_sliding_window: false,
    layer_types: ['full_attention'],
    num_experts: 4,
  },
  {
    model_type: 'gpt2',
    n_embd: 8,
    n_inner: null,
    n_layer: 1,
    n_head: 2,
    n_positions: 32,
    vocab_size: 12,
    activation_function: 'gelu_new',
    layer_norm_epsilon: 1e-5,
    architectures: ['GPT2LMHeadModel'],
  },
  {
    model_type: 'gpt_neox',
    hidden_size: 8,
    intermediate_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    vocab_size: 12,
    max_position_embeddings: 32,
    hidden_act: 'gelu',
    layer_norm_eps: 1e-5,
    rotary_pct: 0.5,
    rotary_emb_base: 10000,
    use_parallel_residual: true,
    tie_word_embeddings: false,
  },
];

const NAMES = {
  llama: {
    'model.embed_tokens.weight': [12, 8],
    'model.layers.0.self_attn.q_proj.weight': [8, 8],
    'model.layers.0.self_attn.k_proj.weight': [4, 8],
    'model.layers.0.self_attn.v_proj.weight': [4, 8],
    'model.layers.0.self_attn.o_proj.weight': [8, 8],
    'model.layers.0.mlp.gate_proj.weight': [16, 8],
    'model.layers.0.mlp.up_proj.weight': [16, 8],
    'model.layers.0.mlp.down_proj.weight': [8, 16],
    'model.layers.0.input_layernorm.weight': [8],
    'model.layers.0.post_attention_layernorm.weight': [8],
    'model.norm.weight': [8],
  },
  qwen2: {
    'model.layers.0.self_attn.q_proj.bias': [8],
    'model.layers.0.self_attn.k_proj.bias': [4],
    'model.layers.0.self_attn.v_proj.bias': [4],
  },
  gpt2: {
    'wte.weight': [12, 8],
    'wpe.weight': [32, 8],
    'h.0.attn.c_attn.weight': [8, 24],
    'h.0.attn.c_attn.bias': [24],
    'h.0.attn.c_proj.weight': [8, 8],
    'h.0.attn.c_proj.bias': [8],
    'h.0.mlp.c_fc.weight': [8, 32],
    'h.0.mlp.c_fc.bias': [32],
    'h.0.mlp.c_proj.weight': [32, 8],
    'h.0.mlp.c_proj.bias': [8],
    'h.0.ln_1.weight': [8],
    'h.0.ln_1.bias': [8],
    'h.0.ln_2.weight': [8],
    'h.0.ln_2.bias': [8],
    'ln_f.weight': [8],
    'ln_f.bias': [8],
  },
  gpt_neox: {
    'gpt_neox.embed_in.weight': [12, 8],
    'embed_out.weight': [12, 8],
    'gpt_neox.layers.0.attention.query_key_value.weight': [24, 8],
    'gpt_neox.layers.0.attention.query_key_value.bias': [24],
    'gpt_neox.layers.0.attention.dense.weight': [8, 8],
    'gpt_neox.layers.0.attention.dense.bias': [8],
    'gpt_neox.layers.0.mlp.dense_h_to_4h.weight': [16, 8],
    'gpt_neox.layers.0.mlp.dense_h_to_4h.bias': [16],
    'gpt_neox.layers.0.mlp.dense_4h_to_h.weight': [8, 16],
    'gpt_neox.layers.0.mlp.dense_4h_to_h.bias': [8],
    'gpt_neox.layers.0.input_layernorm.weight': [8],
    'gpt_neox.layers.0.input_layernorm.bias': [8],
    'gpt_neox.layers.0.post_attention_layernorm.weight': [8],
    'gpt_neox.layers.0.post_attention_layernorm.bias': [8],
    'gpt_neox.final_layer_norm.weight': [8],
    'gpt_neox.final_layer_norm.bias': [8],
  },
};
NAMES.qwen2 = { ...NAMES.llama, ...NAMES.qwen2 };

function weights(random, type) {
  const header = {};
  let offset = 0;
  const few = random.chance(0.5) ? 2 : Number.POSITIVE_INFINITY; // which is enough for what only describes the model
  for (const [name, shape] of Object.entries(NAMES[type]).slice(0, few)) {
    const bytes = 2 * shape.reduce((product, n) => product * n, 1);
    header[name] = { dtype: 'BF16', shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const data = new Uint8Array(offset).map((_, i) => (i % 2 ? 0x3d : random.below(256)));
  return safetensors({ header: text(JSON.stringify(header)), data });
}

const TOKENS = ['<s>', '</s>', 'a', 'b', 'c', 'ab', 'Ġ', 'Ġa', 'd', 'e', 'f', '<unk>'];
const VOCABULARY = Object.fromEntries(TOKENS.map((token, id) => [token, id]));

const tokenizer = () => ({
  version: '1.0',
  truncation: null,
  added_tokens: [
    {
      id: 0,
      content: '<s>',
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    },
  ],
  normalizer: {
    type: 'Sequence',
    normalizers: [{ type: 'NFC' }, { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' }],
  },
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      { type: 'Split', pattern: { Regex: "'s|\\p{L}+|\\s+(?!\\S)" }, behavior: 'Isolated', invert: false },
      { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    ],
  },
  post_processor: {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [],
    special_tokens: { '<s>': { id: '<s>', ids: [0], tokens: ['<s>'] } },
  },
  decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: {
    type: 'BPE',
    dropout: null,
    unk_token: null,
    byte_fallback: false,
    vocab: { ...VOCABULARY },
    merges: [['a', 'b'], 'Ġ a'],
  },
});

/** The parts of tokenizer.json that are otherwise for SentencePiece and BERT. */
const MODELS = [
  {
    normalizer: {
      type: 'Sequence',
      normalizers: [{ type: 'Replace', pattern: { String: ' ' }, content: '▁' }],
    },
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: false },
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      byte_fallback: true,
      vocab: { ...VOCABULARY },
      merges: [['a', 'b']],
    },
  },
  {
    normalizer: { type: 'Precompiled', precompiled_charsmap: 'CAAAAAAAAAAAAAAAYQA=' },
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' },
    model: {
      type: 'Unigram',
      unk_id: 11,
      byte_fallback: false,
      vocab: TOKENS.map((token, id) => [token, -id]),
    },
  },
  {
    normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, lowercase: true },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: { type: 'BertProcessing', cls: ['<s>', 0], sep: ['</s>', 1] },
    model: {
      type: 'WordPiece',
      unk_token: '<unk>',
      continuing_subword_prefix: '##',
      vocab: { ...VOCABULARY },
    },
  },
];

/** Files of tokenizers that are not JSON: fixtures/tokenizers. */
const FIXTURES = new URL('../../../fixtures/tokenizers/', import.meta.url);
const SEEDS = {
  'tokenizer.model': readFileSync(new URL('bpe.model', FIXTURES)),
  'spiece.model': readFileSync(new URL('bytes.model', FIXTURES)),
  'vocab.txt': readFileSync(new URL('vocab.txt', FIXTURES)),
};
const TEMPLATE =
  "{{ bos_token }}{% for m in messages if m.role != 'x' %}{{ m['content'] | trim }}{% endfor %}{% if tools is none %}a{% endif %}";

const OTHERS = {
  'tokenizer_config.json': () => ({
    bos_token: '<s>',
    eos_token: { content: '</s>' },
    unk_token: '<unk>',
    add_bos_token: true,
    model_max_length: 1e30,
    added_tokens_decoder: { 0: { content: '<s>' } },
  }),
  'generation_config.json': () => ({
    eos_token_id: [0, 1],
    bos_token_id: 0,
    do_sample: true,
    temperature: 0.7,
  }),
  'vocab.json': () => ({ ...VOCABULARY }),
  'adapter_config.json': () => ({ peft_type: 'LORA', base_model_name_or_path: 'user/model', r: 8 }),
  'model.safetensors.index.json': () => ({
    metadata: { total_size: 100 },
    weight_map: { 'model.norm.weight': 'model.safetensors', 'wte.weight': 'model.safetensors' },
  }),
};

function make(random) {
  const config = structuredClone(random.pick(CONFIGS));
  const type = config.model_type;
  const other = random.chance(0.4) ? structuredClone(random.pick(MODELS)) : {};
  const parts = { 'config.json': config, 'tokenizer.json': { ...tokenizer(), ...other } };
  for (const [name, value] of Object.entries(OTHERS)) if (random.chance(0.25)) parts[name] = value();
  if (random.chance(0.2)) delete parts['tokenizer.json'];
  const files = { 'model.safetensors': weights(random, type) };
  for (const [name, seed] of Object.entries(SEEDS))
    if (!parts['tokenizer.json'] && random.chance(0.4)) files[name] = mutateBytes(random, seed);
  if (random.chance(0.2)) files['chat_template.jinja'] = mutateBytes(random, text(TEMPLATE));
  for (let n = random.few(4); n; n--) {
    const name = random.pick(Object.keys(parts));
    parts[name] = mutateJson(random, parts[name]);
  }
  for (const [name, value] of Object.entries(parts))
    files[name] = random.chance(0.15) ? jsonBytes(random, value) : text(JSON.stringify(value) ?? '');
  if (files['vocab.json']) files['merges.txt'] = mutateBytes(random, text('#version: 0.2\na b\nĠ a\n'));
  return files;
}

/** What the commands do with configs and tokenizers before they compute. */
const further = (place) => async (model) => {
  await attempt(async () => {
    const loaded = await loadTokenizer(model);
    const ids = await attempt(() => loaded.encode('abc  a<s> é\n', true));
    await attempt(() => loaded.decode(ids.value ?? [0, 2, 5]));
  });
  await attempt(async () => {
    const { config } = (await readTokenizerFiles(model)) ?? {};
    const template = config && (await chatTemplateOf(model, config));
    if (template) await renderChat(template, [{ role: 'user', content: 'a' }], config, model.id);
  });
  await attempt(() => buildProgram(model));
  const path = join(place, 'x.gguf');
  await attempt(() => exportGguf(model, path, { force: true }));
  rmSync(path, { force: true });
};

export const jsonKind = {
  make,
  check: (files, place) => checkFolder(files, place, { further: further(place), headersOnly: true }),
};
