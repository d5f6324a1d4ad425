import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inflateWithin } from '../../../dist/core/inflate.js';
import { deflate } from '../../../dist/wpk/frames.js';
import { attempt, checkWpk } from '../checks.js';
import { edgeNumber, joined, jsonBytes, mutateBytes, mutateJson } from '../mutate.js';
import { cloneWpk, layOut, repairDigests, sha256, writeWpk } from '../wpk-file.js';
import { makeSeeds } from '../wpk-seeds.js';

const DIGEST_BYTES = 8;

const framesOf = (wpk, ...kinds) => wpk.frames.filter(({ kind }) => kinds.includes(kind));

/** Payloads of blocks, parameters and tables: what the codecs read. */
function payload(random, wpk) {
  const one = random.pick(framesOf(wpk, 'tensors', 'tables'));
  const keep = random.chance(0.8) ? DIGEST_BYTES : 0;
  if (one)
    one.payload = joined(one.payload.subarray(0, keep), mutateBytes(random, one.payload.subarray(keep)));
}

function splice(random, wpk) {
  const [one, other] = [0, 0].map(() => random.pick(framesOf(wpk, 'tensors')));
  if (!one) return;
  const at = random.below(one.payload.length);
  one.payload = joined(
    one.payload.subarray(0, at),
    other.payload.subarray(random.below(other.payload.length)),
  );
}

/** What side files and headers inflate to, or the deflated stream. */
function deflated(random, wpk) {
  const one = random.pick(framesOf(wpk, 'sideFiles', 'weightFiles'));
  if (!one) return;
  const inflated = inflateWithin('deflate', one.payload, 2 ** 22);
  if (random.chance(0.3) || !(inflated instanceof Uint8Array)) one.payload = mutateBytes(random, one.payload);
  else {
    const bytes = mutateBytes(random, inflated);
    one.payload = deflate(bytes);
    const file = wpk.directory[one.kind][one.owner];
    if (one.kind === 'sideFiles' && random.chance(0.8)) {
      Object.assign(file, { length: bytes.length, sha256: sha256(bytes) });
      if (wpk.manifest.sideFiles) wpk.manifest.sideFiles[one.owner].length = bytes.length;
    }
  }
}

const FRAME_CHANGES = [
  (_random, frames, at) => frames.splice(at, 1),
  (_random, frames, at) => frames.splice(at, 0, { ...frames[at] }),
  (random, frames, at) => {
    const other = random.pick(frames);
    [frames[at].payload, other.payload] = [other.payload, frames[at].payload];
  },
  (random, frames, at) => {
    const other = random.below(frames.length);
    [frames[at], frames[other]] = [frames[other], frames[at]];
  },
  (random, frames, at) => {
    frames[at].type = random.pick([1, 2, 3, 4, 5, 6, 7]);
  },
  (random, frames, at) => {
    frames[at].payload = deflate(new Uint8Array(random.pick([0, 1, 2 ** 20, 2 ** 22])));
  },
];

/** Values of the directory. */
function values(random, wpk) {
  for (let n = random.few(3); n; n--) {
    const near = random.chance(0.8)
      ? wpk.directory[random.pick(['sideFiles', 'weightFiles', 'tensors'])]
      : wpk.directory;
    if (Array.isArray(near) && near.length && random.chance(0.8)) mutateJson(random, random.pick(near));
    else mutateJson(random, near);
  }
}

const DTYPES = {
  1: ['I8', 'U8', 'BOOL', 'F8_E4M3', 'F8_E5M2'],
  2: ['F16', 'BF16', 'I16', 'U16'],
  4: ['F32', 'I32', 'U32'],
  8: ['F64', 'I64', 'U64'],
};

/** What is said of a tensor, its length staying as it is. */
function retyped(random, wpk) {
  const tensor = random.pick(wpk.directory.tensors.filter(({ shape }) => shape));
  if (!tensor) return;
  const same = Object.values(DTYPES).find((dtypes) => dtypes.includes(tensor.dtype)) ?? DTYPES[4];
  const elements = tensor.shape.reduce((product, n) => product * n, 1);
  const divisors = Array.from({ length: 64 }, (_, i) => i + 1).filter((n) => elements % n === 0);
  const divisor = random.pick(divisors);
  const changes = [
    () => (tensor.dtype = random.pick(same)),
    () => (tensor.shape = [elements]),
    () => (tensor.shape = [divisor, elements / divisor]),
    () => (tensor.shape = [elements / divisor, divisor]),
    () => (tensor.shape = [...tensor.shape, ...Array(random.pick([1, 5, 260])).fill(1)]),
    () => (tensor.codec = random.pick(['lossless', 'trellis', 'transform', 'toString', undefined])),
    () => (tensor.sameAs = random.below(wpk.directory.tensors.length)),
  ];
  random.pick(changes)();
  wpk.manifest = {};
}

const CHANGES = [
  payload,
  payload,
  payload,
  payload,
  splice,
  deflated,
  retyped,
  retyped,
  (random, { frames }) =>
    frames.length && random.pick(FRAME_CHANGES)(random, frames, random.below(frames.length)),
];

/** A sound file that was changed and made sound again, as far as that goes. */
async function file(random, seeds) {
  const wpk = cloneWpk(random.pick(seeds));
  for (let n = random.few(3); n; n--) random.pick(CHANGES)(random, wpk);
  const others = random.chance(0.35);
  if (others && random.chance(0.8)) wpk.manifest = {}; // which says nothing that could differ
  layOut(wpk);
  if (random.chance(0.7)) await attempt(() => repairDigests(wpk));
  if (others) values(random, wpk);
  if (random.chance(0.05))
    wpk.manifest = mutateBytes(random, deflate(Buffer.from(JSON.stringify(wpk.manifest))));
  if (random.chance(0.05)) wpk.directory = deflate(jsonBytes(random, mutateJson(random, wpk.directory)));
  if (random.chance(0.05))
    wpk.said = { [random.pick(['start', 'length', 'whole'])]: edgeNumber(random, 100n) };
  const bytes = writeWpk(wpk);
  return random.chance(0.05) ? mutateBytes(random, bytes) : bytes;
}

let seeds;

export const wpkKind = {
  make: async (random) => {
    seeds ??= await inPlace(makeSeeds);
    return { 'x.wpk': await file(random, seeds) };
  },
  check: (files, place) => checkWpk(files['x.wpk'], place),
};

async function inPlace(work) {
  const place = mkdtempSync(join(tmpdir(), 'weightpress-seeds-'));
  try {
    return await work(place);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}
