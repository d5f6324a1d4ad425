// Mutations that are independent of the format: of bytes, numbers and JSON.

import { concatenate } from '../../dist/core/bytes.js';

const EDGES = [0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 65535, 65536];
const FAR_EDGES = [24, 28, 30, 31, 32, 40, 48, 52, 53, 60, 62, 63].flatMap((power) => [
  2n ** BigInt(power) - 1n,
  2n ** BigInt(power),
  2n ** BigInt(power) + 1n,
]);

/** Returns a number at a limit, or near the original one. */
export function edgeNumber(random, was = 0n) {
  const kinds = [
    () => BigInt(random.pick(EDGES)),
    () => random.pick(FAR_EDGES),
    () => 2n ** 64n - 1n - BigInt(random.below(9)),
    () => was + BigInt(random.below(9) - 4),
    () => was * 2n,
    () => was / 2n,
    () => BigInt(random.below(2 ** 31)),
  ];
  return random.pick(kinds)();
}

/** Writes an unsigned little-endian number of `width` bytes; what does not fit is cut off. */
export function setUint(bytes, at, width, value) {
  for (let i = 0; i < width && at + i < bytes.length; i++)
    bytes[at + i] = Number((value >> BigInt(8 * i)) & 255n);
}

export function getUint(bytes, at, width) {
  let value = 0n;
  for (let i = width - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i] ?? 0);
  return value;
}

/** Returns a mutated copy; mutations are often near the start, where lengths and tables are. */
export function mutateBytes(random, bytes) {
  let copy = Uint8Array.from(bytes);
  for (let n = random.few(6); n; n--) copy = random.pick(BYTE_CHANGES)(random, copy);
  return copy;
}

const somewhere = (random, { length }) => random.below(random.chance(0.5) ? length : Math.min(length, 48));

const BYTE_CHANGES = [
  (random, bytes) => {
    if (bytes.length) bytes[somewhere(random, bytes)] ^= 1 << random.below(8);
    return bytes;
  },
  (random, bytes) => {
    if (bytes.length)
      bytes[somewhere(random, bytes)] = random.pick([0, 1, 127, 128, 254, 255, random.below(256)]);
    return bytes;
  },
  (random, bytes) => {
    const [at, width] = [somewhere(random, bytes), random.pick([2, 4, 8])];
    setUint(bytes, at, width, edgeNumber(random, getUint(bytes, at, width)));
    return bytes;
  },
  (random, bytes) => bytes.slice(0, random.below(bytes.length + 1)),
  (random, bytes) => joined(bytes, random.bytes(1 + random.below(32))),
  (random, bytes) => {
    const [start, end] = range(random, bytes);
    return joined(bytes.subarray(0, start), bytes.subarray(end));
  },
  (random, bytes) => {
    const [start, end] = range(random, bytes);
    return joined(bytes.subarray(0, end), bytes.subarray(start));
  },
  (random, bytes) => {
    const [start, end] = range(random, bytes);
    return bytes.fill(random.pick([0, 255, random.below(256)]), start, end);
  },
];

function range(random, { length }) {
  const start = random.below(length + 1);
  return [start, Math.min(length, start + random.below(64))];
}

export const joined = (...parts) => concatenate(parts);

const STRINGS = [
  '',
  '.',
  '..',
  '../x',
  '/etc/x',
  'a/b',
  'a\\b',
  'a//b',
  'CON',
  'nul.txt',
  'x.partial',
  'model.safetensors',
  'config.json',
  '__proto__',
  'constructor',
  'toString',
  '\ud800',
  '\u202e',
  '\0',
  'a\nb',
  '\u001b[31m',
  'é'.repeat(130),
  'x'.repeat(70000),
  '18446744073709551616',
  '(a+)+$',
];

const VALUES = [
  () => null,
  () => true,
  () => false,
  () => ({}),
  () => [],
  () => [[]],
  (random) => random.pick(STRINGS),
  (random) => jsonNumber(random, 0),
];

function jsonNumber(random, was) {
  const kinds = [
    () => random.pick(EDGES),
    () => -random.pick(EDGES),
    () => Number(random.pick(FAR_EDGES)),
    () => was + random.below(9) - 4,
    () => was * random.pick([2, 0.5, -1, 1e9, 1e-9]),
    () => random.pick([0.5, 1e308, 5e-324, -0, 1e21]),
  ];
  return random.pick(kinds)();
}

/** Mutates a JSON value in place and returns it, or returns a new value for one that is not an object. */
export function mutateJson(random, value) {
  const places = [];
  collect(value, places);
  if (!places.length) return random.pick(VALUES)(random);
  const [parent, key] = random.pick(places);
  random.pick(JSON_CHANGES)(random, parent, key);
  return value;
}

function collect(value, places) {
  if (typeof value !== 'object' || value === null || places.length > 5000) return;
  for (const key of Object.keys(value)) {
    places.push([value, key]);
    collect(value[key], places);
  }
}

const nudge = (random, parent, key) => {
  const was = parent[key];
  if (typeof was === 'number') parent[key] = jsonNumber(random, was);
  else if (typeof was === 'string') parent[key] = otherText(random, was);
  else if (Array.isArray(was) && was.length) changeList(random, was);
  else parent[key] = random.pick(VALUES)(random);
};

const JSON_CHANGES = [
  nudge,
  nudge,
  nudge,
  (random, parent, key) => {
    parent[key] = random.pick(VALUES)(random);
  },
  (_, parent, key) => {
    if (Array.isArray(parent)) parent.splice(Number(key), 1);
    else delete parent[key];
  },
  (random, parent, key) => {
    const other = random.pick(Object.keys(parent));
    [parent[key], parent[other]] = [parent[other], parent[key]];
  },
  (random, parent, key) => {
    if (Array.isArray(parent))
      parent.splice(random.below(parent.length + 1), 0, structuredClone(parent[key]));
    else parent[random.pick([...STRINGS, `${key}x`])] = structuredClone(parent[key]);
  },
];

function changeList(random, list) {
  const changes = [
    () => list.reverse(),
    () => list.push(structuredClone(random.pick(list))),
    () => list.pop(),
    () => list.splice(0, list.length),
    () => list.push(...Array.from({ length: random.pick([3, 70, 300]) }, () => structuredClone(list[0]))),
  ];
  random.pick(changes)();
}

function otherText(random, was) {
  const at = random.below(was.length + 1);
  const kinds = [
    () => random.pick(STRINGS),
    () => was.slice(0, at),
    () => was + random.pick(STRINGS),
    () => was.slice(0, at) + random.pick(STRINGS) + was.slice(at),
    () => was.toUpperCase(),
  ];
  return random.pick(kinds)();
}

/** Returns a JSON value as bytes that may be invalid JSON. */
export function jsonBytes(random, value) {
  const text = Buffer.from(JSON.stringify(value) ?? 'null');
  return random.chance(0.85) ? Uint8Array.from(text) : random.pick(TEXT_CHANGES)(random, text);
}

const TEXT_CHANGES = [
  mutateBytes,
  (_, text) => joined(Uint8Array.of(0xef, 0xbb, 0xbf), text),
  (random, text) =>
    Buffer.from(text.toString().replace(/\d+/, random.pick(['NaN', 'Infinity', '-Infinity', '1e999', '-']))),
  (random, text) =>
    Buffer.from(text.toString().replace('{', `{"a":${'['.repeat(random.pick([10, 40, 9000]))}`)),
  (_, text) => Buffer.from(text.toString().replace('{', '{"a":1,"a":2,')),
  (random, text) => joined(text, Buffer.from(random.pick([' ', '\0', '}', '{}', '\n\n']))),
  (_, text) => Buffer.from(text.toString('utf8'), 'utf16le'),
];
