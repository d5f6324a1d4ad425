import { checkFolder } from '../checks.js';
import { text, uint, zip, zipEntry } from '../formats.js';
import { edgeNumber, joined, mutateBytes } from '../mutate.js';
import { mutatedOps, stateOps } from './pickle.js';

const NAMES = [
  '',
  '..',
  '../x',
  '/x',
  'archive/data.pkl',
  'archive/data/0',
  'x/data.pkl',
  'a\\b',
  'C:x',
  '\0',
  'archive/',
  'archive/byteorder',
  'x'.repeat(70000),
];

const ENTRY_CHANGES = [
  (random, entry) => (entry.name = text(random.pick(NAMES))),
  (random, entry) => (entry.method = random.pick([0, 8, 1, 12, 14, 93, 65535])),
  (random, entry) => (entry.flags = random.pick([1, 8, 0x800, 0xffff])),
  (random, entry) => (entry.crc = edgeNumber(random, BigInt(entry.crc))),
  (random, entry) => (entry.stored = edgeNumber(random, entry.stored)),
  (random, entry) => (entry.length = edgeNumber(random, entry.length)),
  (random, entry) => (entry.moved = edgeNumber(random, 0n)),
  (_random, entry) => (entry.zip64 = !entry.zip64),
  (random, entry) =>
    (entry.extra = joined(
      uint(random.pick([1, 2, 0xffff]), 2),
      uint(edgeNumber(random, 24n), 2),
      random.bytes(random.below(30)),
    )),
  (random, entry) => (entry.localExtra = random.bytes(random.pick([1, 4, 30, 4000]))),
  (random, entry) => (entry.bytes = mutateBytes(random, entry.bytes)),
  (random, entry) => {
    // both sizes as large as they say, without the bytes
    entry.stored = entry.length = edgeNumber(random, entry.length);
  },
];

const ARCHIVE_CHANGES = [
  (random, { entries }) => random.pick(ENTRY_CHANGES)(random, random.pick(entries)),
  (random, { entries }) => random.pick(ENTRY_CHANGES)(random, random.pick(entries)),
  (random, { entries }) => random.pick(ENTRY_CHANGES)(random, random.pick(entries)),
  (random, { entries }) => entries.push({ ...random.pick(entries) }),
  (random, { entries }) => entries.length > 1 && entries.splice(random.below(entries.length), 1),
  (_random, { entries }) => entries.reverse(),
  (_random, { options }) => (options.zip64 = true),
  (random, { options }) => (options.end[random.pick(['count', 'size', 'start'])] = edgeNumber(random, 4n)),
  (random, { options }) => (options.comment = random.bytes(random.pick([1, 22, 65535]))),
];

function archive(random) {
  const folder = random.pick(['archive/', 'model/', '']);
  const pickle = random.chance(0.8) ? joined(...stateOps(random)) : mutatedOps(random, stateOps(random));
  const entries = [
    zipEntry(`${folder}data.pkl`, pickle, random.chance(0.3)),
    zipEntry(`${folder}byteorder`, text(random.chance(0.9) ? 'little' : 'big')),
    zipEntry(`${folder}data/0`, random.bytes(128), random.chance(0.1)),
    zipEntry(`${folder}data/1`, random.bytes(32)),
    zipEntry(`${folder}version`, text('3\n')),
  ];
  const parts = { entries, options: { end: {} } };
  for (let n = random.few(4); n; n--) random.pick(ARCHIVE_CHANGES)(random, parts);
  const bytes = zip(parts.entries, parts.options);
  return random.chance(0.1) ? mutateBytes(random, bytes) : bytes;
}

export const zipKind = {
  make: (random) => ({ 'pytorch_model.bin': archive(random) }),
  check: (files, place) => checkFolder(files, place),
};
