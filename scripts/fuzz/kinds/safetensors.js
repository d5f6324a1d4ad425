import { checkFolder } from '../checks.js';
import { safetensors, text } from '../formats.js';
import { edgeNumber, jsonBytes, mutateBytes, mutateJson } from '../mutate.js';

const DTYPES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  U16: 2,
  C64: 8,
  F4: 0.5,
  F8_E8M0: 1,
};

/** Headers of sound files with random shapes; data of the length that they say. */
function sound(random) {
  const header = random.chance(0.5) ? { __metadata__: { format: 'pt' } } : {};
  let offset = 0;
  for (let i = 1 + random.below(5); i; i--) {
    const dtype = random.pick(Object.keys(DTYPES));
    const shape = Array.from({ length: random.below(4) }, () => random.pick([1, 2, 3, 8, 34, 64]));
    const bytes = Math.ceil(shape.reduce((product, n) => product * n, 1) * DTYPES[dtype]);
    if (bytes > 65536) continue;
    const name = random.pick([
      `layers.${i}.weight`,
      `model.layers.${i}.mlp.up_proj.weight`,
      `h.${i}.attn.bias`,
    ]);
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  return { header, data: content(random, offset) };
}

/** Noise, a constant, or small numbers: what different modes of the codec are for. */
export function content(random, length) {
  const kind = random.below(4);
  const bytes = new Uint8Array(length);
  if (kind === 0) return bytes;
  if (kind === 1) return bytes.fill(random.below(256));
  if (kind === 2) return bytes.map((_, i) => (i % 4 === 3 ? 0x3d : i % 4 === 2 ? random.below(128) : 0));
  return bytes.map(() => random.below(256));
}

const CHANGES = [
  (random, parts) => {
    for (let n = random.few(4); n; n--) parts.header = mutateJson(random, parts.header);
  },
  (random, parts) => {
    parts.length = edgeNumber(random, 200n);
  },
  (random, parts) => {
    parts.data = mutateBytes(random, parts.data);
  },
];

function file(random) {
  const parts = sound(random);
  if (random.chance(0.9)) random.pick([...CHANGES, CHANGES[0]])(random, parts);
  const header = jsonBytes(random, parts.header);
  return safetensors({ ...parts, header });
}

const shardsOf = (random) => {
  const names = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
  const [first, second] = names.map(() => file(random));
  const weight_map = { 'layers.1.weight': names[0], 'layers.2.weight': names[1] };
  const index = mutateJson(random, { metadata: { total_size: first.length }, weight_map });
  return { [names[0]]: first, [names[1]]: second, 'model.safetensors.index.json': jsonBytes(random, index) };
};

export const safetensorsKind = {
  make: (random) => {
    const files = random.chance(0.2) ? shardsOf(random) : { 'model.safetensors': file(random) };
    if (random.chance(0.5)) files['config.json'] = text('{"model_type":"llama","hidden_size":64}');
    return files;
  },
  check: (files, place) => checkFolder(files, place),
};
