import { checkFolder } from '../checks.js';
import { text, uint, zip, zipEntry } from '../formats.js';
import { edgeNumber, joined, mutateBytes } from '../mutate.js';

// A pickle is a list of operations here: they are dropped, doubled, swapped, and put in from those that Python has.

const op = (letter, ...operands) => joined(text(letter), ...operands);
const unicode = (value) => op('X', uint(text(value).length, 4), text(value));
const number = (value) => op('J', uint(BigInt.asUintN(32, BigInt(value)), 4));
const named = (module, name) => op('c', text(`${module}\n${name}\n`));

/** A tensor of float32, as torch.save describes it: a view of a storage. */
function tensor(key, elements, shape) {
  const stride = shape.map((_, i) => shape.slice(i + 1).reduce((product, n) => product * n, 1));
  const tuple = (items) => [op('('), ...items.map(number), op('t')];
  return [
    named('torch._utils', '_rebuild_tensor_v2'),
    op('('),
    op('('),
    unicode('storage'),
    named('torch', 'FloatStorage'),
    unicode(key),
    unicode('cpu'),
    number(elements),
    op('t'),
    op('Q'),
    number(0),
    ...tuple(shape),
    ...tuple(stride),
    Uint8Array.of(0x89),
    named('collections', 'OrderedDict'),
    op(')'),
    op('R'),
    op('t'),
    op('R'),
  ];
}

/** Operations of a state of two tensors and what is beside it. */
export function stateOps(random) {
  const wrapped = random.chance(0.3);
  return [
    Uint8Array.of(0x80, 2),
    ...(wrapped ? [op('}'), op('('), unicode(random.pick(['model', 'state_dict', 'module']))] : []),
    op('}'),
    op('('),
    unicode('layers.0.weight'),
    ...tensor('0', 32, [4, 8]),
    op('q', Uint8Array.of(1)),
    unicode('layers.0.bias'),
    ...tensor('1', 8, [8]),
    unicode('step'),
    number(17),
    op('u'),
    ...(wrapped ? [unicode('epoch'), number(3), op('u')] : []),
    op('.'),
  ];
}

/** Any operation with operands that may not be its own. */
function anyOp(random) {
  const letters = 'I0123FGIJKLMNPQRSTUVXabcdeghijloprqstu}(])\x8a\x80';
  const kinds = [
    () => op(random.pick(letters)),
    () => Uint8Array.of(0x80 + random.below(0x18)),
    () => joined(Uint8Array.of(0x80 + random.below(0x18)), uint(edgeNumber(random), random.pick([1, 4, 8]))),
    () =>
      op(
        random.pick('XTBJrjGKMhq'),
        uint(edgeNumber(random), random.pick([1, 2, 4, 8])),
        random.bytes(random.below(20)),
      ),
    () =>
      joined(
        text(random.pick('ILFSVPpcgi')),
        text(
          random.pick([
            '1',
            'os\nsystem',
            "'a'",
            'torch\nload',
            '1e9',
            '9'.repeat(400),
            'collections\nOrderedDict',
          ]),
        ),
        text('\n'),
      ),
    () => joined(text('L'), text(`${'9'.repeat(random.pick([5, 300, 5000]))}L\n`)),
    () =>
      named(
        random.pick(['torch', 'numpy', 'builtins', 'torch._utils', '_codecs']),
        random.pick([
          'HalfStorage',
          'ComplexFloatStorage',
          'ndarray',
          'eval',
          '_rebuild_parameter',
          'encode',
          'Size',
          'device',
        ]),
      ),
    () => unicode(random.pick(['', '0', '1', '../0', 'storage', 'ü'])),
    () => number(random.pick([0, 1, 8, 2 ** 31 - 1, -1])),
    () => joined(text('('), text('('), text('('), text('tt')),
    () => joined(text('0'), text('2'), text('2')),
  ];
  return random.pick(kinds)();
}

const CHANGES = [
  (_random, ops, at) => ops.splice(at, 1),
  (_random, ops, at) => ops.splice(at, 0, ops[at]),
  (random, ops, at) => ops.splice(at, 0, anyOp(random)),
  (random, ops, at) => ops.splice(at, 1, anyOp(random)),
  (random, ops, at) => ops.splice(at, 1, mutateBytes(random, ops[at])),
  (random, ops, at) => {
    const other = random.below(ops.length);
    [ops[at], ops[other]] = [ops[other], ops[at]];
  },
  (random, ops, at) => {
    const piece = ops.slice(at, at + 1 + random.below(20));
    const times = random.pick([1, 2, 50, 1000]);
    for (let i = 0; i < times; i++) ops.splice(at, 0, ...piece);
  },
  (random, ops, at) => {
    // every shape and length is a J
    const places = ops.flatMap((one, i) => (one[0] === 0x4a ? [i] : []));
    if (places.length) ops[random.pick(places)] = number(BigInt.asIntN(32, edgeNumber(random, 4n)));
    else ops.splice(at, 1);
  },
];

export function mutatedOps(random, ops) {
  if (random.chance(0.9))
    for (let n = random.few(4); n; n--) random.pick(CHANGES)(random, ops, random.below(ops.length));
  return joined(...ops);
}

const storage = (random, floats) => random.bytes(floats * 4);

/** As torch.save wrote before zip: magic, protocol, system, the state, the keys, the storages. */
function legacy(random) {
  const keys = mutatedOps(random, [
    Uint8Array.of(0x80, 2),
    op(']'),
    op('('),
    unicode('0'),
    unicode('1'),
    op('e'),
    op('.'),
  ]);
  const prelude = random.chance(0.85) ? LEGACY : mutateBytes(random, LEGACY);
  const bytes = joined(
    prelude,
    mutatedOps(random, stateOps(random)),
    random.chance(0.5) ? KEYS : keys,
    uint(32, 8),
    storage(random, 32),
    uint(random.chance(0.9) ? 8 : edgeNumber(random, 8n), 8),
    storage(random, 8),
  );
  return random.chance(0.1) ? mutateBytes(random, bytes) : bytes;
}

const KEYS = joined(Uint8Array.of(0x80, 2), op(']'), op('('), unicode('0'), unicode('1'), op('e'), op('.'));
const LEGACY = joined(
  Uint8Array.of(0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e),
  Uint8Array.of(0x80, 2, 0x4d, 0xe9, 3, 0x2e),
  joined(
    Uint8Array.of(0x80, 2),
    op('}'),
    op('('),
    unicode('little_endian'),
    Uint8Array.of(0x88),
    op('u'),
    op('.'),
  ),
);

function zipped(random) {
  const pickle = mutatedOps(random, stateOps(random));
  return zip([
    zipEntry('archive/data.pkl', pickle, random.chance(0.2)),
    zipEntry('archive/data/0', storage(random, 32)),
    zipEntry('archive/data/1', storage(random, 8)),
    zipEntry('archive/version', text('3\n')),
  ]);
}

export const pickleKind = {
  make: (random) => ({ 'pytorch_model.bin': random.chance(0.5) ? legacy(random) : zipped(random) }),
  check: (files, place) => checkFolder(files, place),
};
