import { checkFolder } from '../checks.js';
import { protobuf } from '../formats.js';
import { edgeNumber, mutateBytes } from '../mutate.js';
import { content } from './safetensors.js';

/** Bits of an element, by the number of its type. */
const TYPES = { 1: 32, 2: 8, 3: 8, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 14: 64, 16: 16, 17: 8, 21: 4, 22: 4 };
const LOCATIONS = [
  'model.onnx_data',
  './model.onnx_data',
  'data/w',
  '../w',
  '/etc/hosts',
  'C:\\w',
  '',
  'model.onnx',
];

function tensor(random, name) {
  const type = random.pick(Object.keys(TYPES));
  const shape = Array.from({ length: random.below(3) }, () => random.pick([0, 1, 3, 32, 64]));
  const length = Math.ceil((shape.reduce((product, n) => product * n, 1) * TYPES[type]) / 8);
  const fields = [...shape.map((n) => [1, BigInt(n)]), [2, BigInt(type)], [8, name]];
  const how = random.below(4);
  if (how === 0) {
    const places = { location: random.pick(LOCATIONS), offset: `${random.pick([0, 64, 4096])}` };
    if (random.chance(0.8)) places.length = `${length}`;
    for (const [key, value] of Object.entries(places)) fields.push([13, [[1, key], [2, value]]]); // biome-ignore format: pairs
    fields.push([14, 1n]);
  } else if (how === 1) fields.push([random.pick([4, 5, 7, 10, 11]), content(random, length)]);
  else fields.push([9, content(random, length)]);
  return fields;
}

const NAMES = ['model.layers.0.mlp.weight', 'wte', 'wte', '', '__metadata__', 'bytes 0-64', '\u001b[2J'];

function graph(random, depth) {
  const nodes = Array.from({ length: random.below(3) }, (_, i) => {
    const value = depth ? [6, graph(random, depth - 1)] : [5, tensor(random, 'value')];
    const packed = ['K', 'N', 'bits'].map((name) => [5, [[1, name], [3, BigInt(random.pick([2, 32]))]]]); // biome-ignore format: pairs
    return [
      1,
      [
        [1, 'x'],
        [1, random.pick(NAMES)],
        [2, `y${i}`],
        [4, random.pick(['Constant', 'If', 'MatMulNBits'])],
        [5, [[1, 'value'], value]],
        ...packed,
      ],
    ];
  });
  const tensors = Array.from({ length: random.below(5) }, () => [5, tensor(random, random.pick(NAMES))]);
  return [...nodes, [2, 'main'], ...tensors];
}

/** Changes a field somewhere in a message. */
function change(random, fields) {
  if (!fields.length) return;
  const field = random.pick(fields);
  if (Array.isArray(field[1]) && random.chance(0.85)) return change(random, field[1]);
  const changes = [
    () => (field[0] = Number(edgeNumber(random, BigInt(field[0])) & 0xffffn)),
    () => (field[2] = edgeNumber(random, 100n)),
    () => fields.push([...field]),
    () => fields.splice(fields.indexOf(field), 1),
    () => fields.reverse(),
    () => {
      field[1] =
        typeof field[1] === 'bigint'
          ? edgeNumber(random, field[1])
          : typeof field[1] === 'string'
            ? random.pick([...NAMES, ...LOCATIONS, '9007199254740993', '-1', 'x'.repeat(70000)])
            : field[1] instanceof Uint8Array
              ? mutateBytes(random, field[1])
              : [[7, field[1]]];
    },
  ];
  random.pick(changes)();
}

function file(random) {
  const model = [[1, 8n], [2, 'fuzz'], [7, graph(random, random.below(3))], [8, [[2, 17n]]]]; // biome-ignore format: pairs
  if (random.chance(0.9)) for (let n = random.few(3); n; n--) change(random, model);
  const bytes = protobuf(model);
  return random.chance(0.15) ? mutateBytes(random, bytes) : bytes;
}

export const onnxKind = {
  make: (random) => {
    const files = { 'model.onnx': file(random) };
    if (random.chance(0.7)) files['model.onnx_data'] = content(random, random.pick([0, 100, 4096, 40000]));
    if (random.chance(0.3)) files['onnx/other.onnx'] = file(random);
    return files;
  },
  check: (files, place) => checkFolder(files, place),
};
