import { checkFolder } from '../checks.js';
import { gguf } from '../formats.js';
import { edgeNumber, joined, mutateBytes } from '../mutate.js';
import { content } from './safetensors.js';

const string = (key, value) => ({ key, type: 8, value });
const uint32 = (key, value) => ({ key, type: 4, value: BigInt(value) });
const strings = (key, values) => ({
  key,
  type: 9,
  of: 8,
  items: values.map((value) => ({ type: 8, value })),
});
const numbers = (key, of, values) => ({
  key,
  type: 9,
  of,
  items: values.map((value) => ({ type: of, value: BigInt(value) })),
});

/** Elements and bytes of a block, by the number of the type. */
const TYPES = {
  0: [1, 4],
  1: [1, 2],
  2: [32, 18],
  3: [32, 20],
  6: [32, 22],
  8: [32, 34],
  10: [256, 84],
  11: [256, 110],
  12: [256, 144],
  13: [256, 176],
  14: [256, 210],
  16: [256, 66],
  20: [32, 18],
  24: [1, 1],
  26: [1, 4],
  28: [1, 8],
  30: [1, 2],
  39: [32, 17],
};
const NAMES = [
  'token_embd.weight',
  'blk.0.attn_q.weight',
  'blk.0.ffn_up.weight',
  'output_norm.weight',
  'output.weight',
];

function sound(random) {
  const alignment = random.pick([32, 32, 32, 64, 8]);
  const architecture = random.pick(['llama', 'gpt2', 'qwen2', 'gptneox', 'bert']);
  const own = (key, value) => uint32(`${architecture}.${key}`, value);
  const float = (key) => ({ key: `${architecture}.${key}`, type: 6, value: 0x3727c5acn });
  const keys = [
    string('general.architecture', architecture),
    string('general.name', 'a model'),
    own('context_length', 64),
    own('embedding_length', 256),
    own('block_count', 1),
    own('feed_forward_length', 512),
    own('attention.head_count', 4),
    own('attention.head_count_kv', 2),
    own('rope.dimension_count', 64),
    float('attention.layer_norm_rms_epsilon'),
    float('attention.layer_norm_epsilon'),
    { key: `${architecture}.use_parallel_residual`, type: 7, value: 1n },
    strings('tokenizer.ggml.tokens', ['<s>', 'a', 'b', 'ab']),
    strings('tokenizer.ggml.merges', ['a b']),
    numbers('tokenizer.ggml.token_type', 5, [3, 1, 1, 1]),
    string('tokenizer.ggml.model', random.pick(['gpt2', 'llama'])),
    string('tokenizer.ggml.pre', random.pick(['gpt-2', 'llama-bpe', 'qwen2'])),
  ];
  if (alignment !== 32) keys.push(uint32('general.alignment', alignment));
  const tensors = [];
  let offset = 0;
  for (const name of NAMES.slice(random.below(4))) {
    const type = Number(random.pick(Object.keys(TYPES)));
    const [elements, bytes] = TYPES[type];
    const dimensions = [elements * random.pick([1, 2]), random.pick([1, 3])].slice(
      random.chance(0.1) ? 1 : 0,
    );
    if (dimensions[0] % elements) continue;
    const length = (dimensions.reduce((product, n) => product * n, 1) / elements) * bytes;
    tensors.push({ name, dimensions: dimensions.map(BigInt), type: BigInt(type), offset: BigInt(offset) });
    offset += Math.ceil(length / alignment) * alignment;
  }
  return { version: 3n, keys, tensors, data: content(random, offset), alignment };
}

const TEXTS = [
  '',
  'x'.repeat(65537),
  '\ud800',
  'general.alignment',
  'general.architecture',
  'tokenizer.ggml.tokens',
  '\u001b[2J',
  'ü',
];

const CHANGES = [
  (random, parts) => {
    if (random.chance(0.3)) parts.version = edgeNumber(random, parts.version);
    else parts.data = mutateBytes(random, parts.data);
  },
  (random, parts) => {
    parts[random.pick(['tensorCount', 'keyCount'])] = edgeNumber(random, 5n);
  },
  (random, { tensors }) => {
    if (!tensors.length) return;
    const tensor = random.pick(tensors);
    const changes = [
      () => (tensor.offset = edgeNumber(random, tensor.offset)),
      () => (tensor.type = edgeNumber(random, tensor.type)),
      () => (tensor.rank = edgeNumber(random, 2n)),
      () => tensor.dimensions.push(edgeNumber(random, 1n)),
      () => (tensor.dimensions[0] = edgeNumber(random, tensor.dimensions[0])),
      () => (tensor.name = random.pick([...TEXTS, ...NAMES])),
      () => tensors.push({ ...tensor }),
      () => tensors.reverse(),
    ];
    random.pick(changes)();
  },
  (random, { keys }) => {
    const key = random.pick(keys);
    const changes = [
      () => (key.type = edgeNumber(random, BigInt(key.type))),
      () => (key.key = random.pick([...TEXTS, 'llama.block_count'])),
      () => keys.push({ ...key }),
      () => keys.splice(keys.indexOf(key), 1),
      () => changeValue(random, key),
      () => changeValue(random, key),
      () => changeValue(random, key),
    ];
    random.pick(changes)();
  },
  (random, { keys }) => {
    const depth = random.pick([2, 4, 5, 100]);
    let nested = { type: 9, of: 4, items: [] };
    for (let i = 0; i < depth; i++) nested = { type: 9, of: 9, items: [nested] };
    keys.push({ key: 'nested', ...nested });
  },
  (random, parts) => {
    parts.data = mutateBytes(random, parts.data);
  },
  (random, { keys }) => {
    keys.push({
      key: 'general.alignment',
      type: random.pick([4, 5, 6, 8, 10]),
      value: random.chance(0.2) ? '32' : edgeNumber(random, 32n),
    });
  },
];

function changeValue(random, value) {
  if (value.type === 8) value.value = random.pick(TEXTS);
  else if (value.type !== 9) value.value = edgeNumber(random, BigInt(value.value));
  else {
    const changes = [
      () => (value.count = edgeNumber(random, BigInt(value.items.length))),
      () => (value.of = Number(edgeNumber(random, BigInt(value.of)) & 0xffffn)),
      () => value.items.pop(),
      () => value.items.length && changeValue(random, random.pick(value.items)),
      () => value.items.push(...value.items),
    ];
    random.pick(changes)();
  }
}

/** A value whose type was changed has to be written as what it is said to be. */
function fitting(value) {
  if (value.type === 9)
    return {
      ...value,
      items: (value.items ?? []).map((item) => fitting({ ...item, type: Number(value.of) })),
    };
  const type = Number(BigInt.asUintN(32, BigInt(value.type)));
  if (type === 8) return { ...value, type, value: String(value.value ?? '') };
  if (type === 9) return { ...value, type, of: 4, items: [] };
  return { ...value, type, value: typeof value.value === 'bigint' ? value.value : 7n };
}

function file(random) {
  const parts = sound(random);
  if (random.chance(0.95)) for (let n = random.few(3); n; n--) random.pick(CHANGES)(random, parts);
  const bytes = gguf({ ...parts, keys: parts.keys.map(fitting) });
  return random.chance(0.2)
    ? joined(mutateBytes(random, bytes.subarray(0, 600)), bytes.subarray(600))
    : bytes;
}

export const ggufKind = {
  make: (random) => {
    const bytes = file(random);
    return random.chance(0.8) ? { 'model.gguf': bytes } : { 'a.gguf': bytes, 'b.gguf': file(random) };
  },
  check: (files, place) => checkFolder(files, place),
};
