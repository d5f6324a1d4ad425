import { BitWriter } from '../../dist/codecs/lossless/bits.js';
import { writeTableTo } from '../../dist/codecs/lossless/frequencies.js';
import { concatenate } from '../../dist/core/bytes.js';
import { checksum } from '../../dist/wasm/lossless.js';
import { deflate } from '../../dist/wpk/frames.js';
import { setUint } from '../fuzz/mutate.js';
import { cloneWpk, layOut, parseWpk, writeWpk } from '../fuzz/wpk-file.js';

// Files that every reader must refuse: each is a valid file with one error, and correct checksums up to it.

const TRAILER_BYTES = 48;

/** A change of a file's bytes. `when`: the file is refused on opening, on restoring its content, or when a tensor is read alone. */
const raw = (of, rule, when, change) => ({ of, rule, when, make: (bytes) => change(bytes.slice()) ?? bytes });
const edit = (at, value) => (bytes) => {
  bytes[at < 0 ? bytes.length + at : at] = value;
  return bytes;
};

/** A change of a parsed file, whose lengths and offsets are then those of its frames unless `asIs`. */
const parsed = (of, rule, when, change, { asIs = false } = {}) => ({
  of,
  rule,
  when,
  make: (bytes) => {
    const wpk = cloneWpk(parseWpk(bytes));
    change(wpk);
    if (!asIs) layOut(wpk);
    return writeWpk(wpk);
  },
});
const inBoth = (change) => (wpk) => {
  change(wpk.manifest);
  change(wpk.directory);
};
const named = (name) =>
  parsed(
    'folder',
    'Paths',
    'open',
    inBoth(({ sideFiles }) => (sideFiles[0].name = name)),
  );
const firstBlock = (wpk, change) => {
  const block = wpk.frames.find(({ kind }) => kind === 'tensors');
  block.payload = change(block.payload) ?? block.payload;
};
const blockOf = (wpk, name, change) => {
  const owner = wpk.directory.tensors.findIndex((tensor) => tensor.name === name);
  const block = wpk.frames.find((frame) => frame.kind === 'tensors' && frame.owner === owner);
  block.payload = change(block.payload);
};
const withBase = (name) =>
  parsed(
    'difference',
    'Base',
    'restore',
    inBoth(({ base }) => (base.name = name)),
  );

/** Mode and payload of a block of differences that are all 0, coded as symbol 255 in a class that may not have it. */
function zerosWithoutLowBits(count) {
  const bits = new BitWriter();
  for (const number of [1, 1, 1]) bits.writeGamma(number); // a class, no escapes, no low bits
  bits.write(0, 5);
  writeTableTo(bits, { symbols: [128, 255], frequencies: [1, 4095] });
  const states = new Uint32Array(4).fill(2 ** 16);
  for (let i = count - 1; i >= 0; i--)
    states[i % 4] = Math.floor(states[i % 4] / 4095) * 4096 + (states[i % 4] % 4095) + 1;
  return concatenate([Uint8Array.of(33), bits.finish(), new Uint8Array(states.buffer)]);
}
const withTrailer = (change) => (bytes) => {
  const trailer = bytes.subarray(bytes.length - TRAILER_BYTES);
  change(trailer);
  setUint(trailer, 32, 8, checksum(trailer.subarray(0, 32)));
  return bytes;
};

/** By name. `rule`: the section of the specification that is broken. */
export const MALFORMED = {
  'magic-bytes': raw('gguf', 'File header', 'open', edit(0, 0x88)),
  'version-2': raw('gguf', 'File header', 'open', edit(8, 2)),
  'header-not-zero': raw('gguf', 'File header', 'open', edit(15, 1)),
  truncated: raw('gguf', 'Trailer', 'open', (bytes) => bytes.slice(0, -1)),
  appended: raw('gguf', 'Trailer', 'open', (bytes) => concatenate([bytes, Uint8Array.of(0)])),
  'trailer-not-zero': raw(
    'gguf',
    'Trailer',
    'open',
    withTrailer((trailer) => (trailer[24] = 1)),
  ),
  'trailer-length': raw(
    'gguf',
    'Trailer',
    'open',
    withTrailer((trailer) => trailer[16]++),
  ),
  'trailer-checksum': raw('gguf', 'Trailer', 'open', edit(-16, 0)),
  'directory-checksum': raw('gguf', 'Frame', 'open', edit(-TRAILER_BYTES - 1, 0xa5)),
  'frame-not-zero': raw('gguf', 'Frame', 'open', edit(17, 1)),
  'frame-checksum': raw('modes', 'Frame', 'restore', (bytes) => {
    bytes[Math.floor(bytes.length / 2)] ^= 1; // in the blocks
    return bytes;
  }),
  'frame-type': parsed('modes', 'Frame', 'restore', (wpk) => (wpk.frames.at(-1).type = 3)),
  'directory-not-json': parsed(
    'gguf',
    'Directory',
    'open',
    (wpk) => {
      layOut(wpk);
      wpk.directory = deflate(Buffer.from('{"generator":'));
    },
    { asIs: true },
  ),
  'directory-key-twice': parsed(
    'gguf',
    'Directory',
    'open',
    (wpk) => {
      layOut(wpk);
      wpk.directory = deflate(
        Buffer.from(JSON.stringify(wpk.directory).replace('{', '{"source":"a","source":"a",')),
      );
    },
    { asIs: true },
  ),
  'member-missing': parsed('gguf', 'Directory', 'open', (wpk) => delete wpk.directory.tensors[0].shape),
  'frames-apart': parsed('modes', 'Directory', 'open', (wpk) => wpk.directory.tensors[1].offset++, {
    asIs: true,
  }),
  'frames-count': parsed(
    'modes',
    'Directory',
    'open',
    (wpk) => {
      const [first] = wpk.directory.tensors;
      first.frames = [first.frames[0] - 20, 20];
    },
    { asIs: true },
  ),
  'same-as-later': parsed(
    'folder',
    'Directory',
    'open',
    inBoth(({ tensors }) => (tensors[2].sameAs = 3)),
  ),
  'same-as-other-length': parsed(
    'folder',
    'Directory',
    'open',
    inBoth(({ tensors }) => (tensors[2].sameAs = 0)),
  ),
  'codec-unknown': parsed('modes', 'Directory', 'open', (wpk) => (wpk.directory.tensors[0].codec = 'next')),
  'codec-of-integers': parsed(
    'modes',
    'Limits',
    'open',
    (wpk) => (wpk.directory.tensors[3].codec = 'trellis'),
  ),
  'tables-missing': parsed('trellis', 'Directory', 'open', (wpk) => {
    wpk.frames = wpk.frames.filter(({ kind }) => kind !== 'tables');
  }),
  'manifest-differs': parsed(
    'folder',
    'Manifest',
    'restore',
    (wpk) => (wpk.manifest.sideFiles[0].length = 7),
  ),
  'tensor-name-twice': parsed(
    'modes',
    'Weight files',
    'open',
    inBoth(({ tensors }) => (tensors[1].name = tensors[0].name)),
  ),
  'weight-file-length': parsed(
    'gguf',
    'Weight files',
    'open',
    inBoth(({ weightFiles }) => weightFiles[0].length++),
  ),
  'path-parent': named('../x'),
  'path-absolute': named('/etc/x'),
  'path-backslash': named('a\\b'),
  'path-device': named('nul.txt'),
  'path-direction': named('a\u202etxt.exe'),
  'path-file-and-folder': named('config.json/x'),
  'path-twice': named('config.json'),
  'side-file-length': parsed(
    'folder',
    'Side file',
    'restore',
    inBoth(({ sideFiles }) => sideFiles[0].length++),
  ),
  'side-file-digest': parsed('folder', 'Directory', 'restore', (wpk) => {
    wpk.directory.sideFiles[0].sha256 = '0'.repeat(64);
  }),
  'tensor-digest': parsed('modes', 'Directory', 'tensor', (wpk) => {
    wpk.directory.tensors[0].sha256 = '0'.repeat(64);
  }),
  'block-digest': parsed('modes', 'Lossless block', 'restore', (wpk) => firstBlock(wpk, edit(0, 0))),
  'block-mode': parsed('modes', 'Lossless block', 'restore', (wpk) => firstBlock(wpk, edit(8, 6))),
  'block-word-left': parsed('modes', 'Lossless block', 'restore', (wpk) =>
    firstBlock(wpk, (payload) => concatenate([payload, Uint8Array.of(0, 0)])),
  ),
  'base-missing': parsed('difference', 'Directory', 'open', (wpk) => delete wpk.directory.base),
  'base-without-digest': parsed('difference', 'Directory', 'open', (wpk) => delete wpk.directory.base.sha256),
  'base-of-tensor': parsed('difference', 'Directory', 'open', (wpk) => (wpk.directory.tensors[0].base = 'a')),
  'base-absent': withBase('absent'),
  'base-another': withBase('modes'),
  'base-with-a-base': withBase('difference'),
  'base-parent': withBase('../vectors/base'),
  'difference-without-base': parsed('difference', 'Lossless block', 'restore', (wpk) => {
    delete wpk.directory.tensors[0].base;
  }),
  'difference-word-left': parsed('difference', 'Difference', 'restore', (wpk) =>
    firstBlock(wpk, (payload) => concatenate([payload, Uint8Array.of(0, 0)])),
  ),
  'difference-of-64-bits': parsed('difference', 'Difference', 'restore', (wpk) =>
    blockOf(wpk, 'wide', edit(8, 33)),
  ),
  'difference-zero-without-low-bits': parsed('difference', 'Difference', 'restore', (wpk) =>
    blockOf(wpk, 'same', (payload) => concatenate([payload.subarray(0, 8), zerosWithoutLowBits(128)])),
  ),
  'same-with-payload': parsed('difference', 'Lossless block', 'restore', (wpk) =>
    blockOf(wpk, 'same', (payload) => concatenate([payload, Uint8Array.of(0)])),
  ),
  'trellis-left-over': parsed('trellis', 'Trellis blocks', 'restore', (wpk) => {
    wpk.frames.find(({ type }) => type === 4).payload = concatenate([
      wpk.frames.find(({ type }) => type === 4).payload,
      Uint8Array.of(1, 1),
    ]);
  }),
  'trellis-scale': parsed('trellis', 'Trellis blocks', 'restore', (wpk) => {
    wpk.frames.find(({ type }) => type === 7).payload.fill(0, 0, 4);
  }),
  'transform-number': parsed('transform-dct', 'Transform blocks', 'restore', (wpk) =>
    firstBlock(wpk, edit(0, 8)),
  ),
  'transform-size': parsed('transform-dct', 'Transform blocks', 'restore', (wpk) =>
    firstBlock(wpk, edit(1, 9)),
  ),
};
