import { join } from 'node:path';
import { encodeBlock } from '../../dist/codecs/trellis/block.js';
import { MAX_INDEX } from '../../dist/codecs/trellis/levels.js';
import { writeParameters } from '../../dist/codecs/trellis/parameters.js';
import { readTables, writeTables } from '../../dist/codecs/trellis/tables.js';
import { INDICES, TABLES } from '../../dist/codecs/trellis/tokens.js';
import { IndexCoder } from '../../dist/wasm/indices.js';
import { text } from '../fuzz/formats.js';
import { Random } from '../fuzz/random.js';
import { layOut, parseWpk, repairDigests, writeWpk } from '../fuzz/wpk-file.js';
import {
  everyMode,
  f32,
  floats,
  ggufFile,
  halves,
  integers,
  makeFile,
  manyFiles,
  onnxFiles,
  quantized,
  tensorFile,
  toBudget,
  torchFile,
} from '../fuzz/wpk-seeds.js';

// Files that every reader must restore. Each is small and made from a seed.

const WIDTHS = {
  ...{ F64: 8, F32: 4, F16: 2, BF16: 2, F8_E4M3: 1, F8_E5M2: 1, I64: 8, I32: 4, I16: 2, I8: 1 },
  ...{ U64: 8, U32: 4, U16: 2, U8: 1, BOOL: 1 },
};

/** A tensor of each element type, of bytes that are mostly small. */
const everyDtype = (r) =>
  Object.entries(WIDTHS).map(([dtype, width]) => ({
    name: dtype,
    dtype,
    shape: [9, 7],
    data: Uint8Array.from({ length: 63 * width }, (_, i) =>
      dtype === 'BOOL' ? i % 2 : r.below(1 + r.below(40)),
    ),
  }));

/** Floats whose split differs: bf16 and f16 widened to f32, without a sign, infinities, NaN payloads, subnormals, -0. */
function everyFloat(r) {
  const f32Of = (values) => new Uint8Array(Float32Array.from(values).buffer);
  const random = Array.from({ length: 600 }, () => (r.next() - 0.5) / 8);
  const special = Uint32Array.from(
    { length: 600 },
    (_, i) => [0x7f800000, 0xff800000, 0x7fc01234, 0x00000001, 0x80000000, 0x3f800000][i % 6],
  );
  const bf16 = new Uint8Array(Float32Array.from(random).buffer).map((byte, i) => (i % 4 < 2 ? 0 : byte));
  const tensors = {
    'bf16 widened': bf16,
    'f16 widened': f32Of(random.map((value) => Math.round(value * 1024) / 1024)),
    positive: f32Of(random.map((value) => Math.abs(value) + 0.01)),
    special: new Uint8Array(special.buffer),
  };
  return Object.entries(tensors).map(([name, data]) => ({ name, dtype: 'F32', shape: [600], data }));
}

/** Tensors whose streams have 32 states; rarely anything but one value, so that the file is small. */
function longStreams(r) {
  const count = 2 ** 18 + 77;
  const rarely = (usual, other) => () => (r.below(2000) ? usual : other + 16 * r.below(3));
  return [
    { name: 'bytes', dtype: 'U8', shape: [count], data: Uint8Array.from({ length: count }, rarely(7, 200)) },
    {
      name: 'floats',
      dtype: 'BF16',
      shape: [count],
      data: new Uint8Array(Uint16Array.from({ length: count }, rarely(0x3f80, 0x4000)).buffer),
    },
  ];
}

/** Tensors of more than one block: the blocks are cut at 2^20 bytes, whatever the rows. */
function severalBlocks() {
  const [rows, columns] = [700, 500];
  const band = Float32Array.from({ length: rows * columns }, (_, i) => {
    const distance = (i % columns) - Math.floor(i / columns);
    return distance >= -100 && distance <= 3 ? 0 : -1e9;
  });
  return [
    { name: 'ramp', dtype: 'I64', shape: [1, 300000], data: integers(300000, (i) => i) },
    { name: 'band', dtype: 'F32', shape: [rows, columns], data: new Uint8Array(band.buffer) },
    { name: 'constant', dtype: 'BF16', shape: [2, 400000], data: new Uint8Array(1600000).fill(0x3c) },
  ];
}

/** Random bit patterns near those of 2^-6: every sign, few exponents. */
function patterns(width, count, r) {
  const bytes = r.bytes(width * count);
  for (let at = width - 1; at < bytes.length; at += width) bytes[at] = (bytes[at] & 0x81) | 0x3c;
  return bytes;
}

function baseTensors() {
  const r = new Random(4);
  return [
    { name: 'model.a', dtype: 'BF16', shape: [30, 64], data: patterns(2, 1920, r) },
    { name: 'f32', dtype: 'F32', shape: [600], data: patterns(4, 600, r) },
    { name: 'f16', dtype: 'F16', shape: [600], data: patterns(2, 600, r) },
    { name: 'e4m3', dtype: 'F8_E4M3', shape: [600], data: r.bytes(600) },
    { name: 'e5m2', dtype: 'F8_E5M2', shape: [600], data: r.bytes(600) },
    ...['I32', 'U32', 'I16', 'U16', 'I8', 'U8'].map((dtype) => ({
      ...{ name: dtype, dtype, shape: [300], data: r.bytes(300 * WIDTHS[dtype]) },
    })),
    { name: 'bool', dtype: 'BOOL', shape: [600], data: r.bytes(600).map((byte) => byte & 1) },
    { name: 'wide', dtype: 'I64', shape: [40], data: r.bytes(320) },
    { name: 'same', dtype: 'I8', shape: [128], data: r.bytes(128) },
    { name: 'f32 of bf16', dtype: 'F32', shape: [600], data: patterns(4, 600, r) },
    { name: 'bf16 of f32', dtype: 'BF16', shape: [600], data: patterns(2, 600, r) },
    { name: 'f32 of f16', dtype: 'F32', shape: [600], data: patterns(4, 600, r) },
    {
      name: 'many',
      dtype: 'U8',
      shape: [2 ** 18 + 3],
      data: Uint8Array.from({ length: 2 ** 18 + 3 }, (_, i) => 3 * i),
    },
    { name: 'more rows', dtype: 'BF16', shape: [20, 32], data: patterns(2, 640, r) },
    { name: 'fewer rows', dtype: 'BF16', shape: [20, 32], data: patterns(2, 640, r) },
  ];
}

/** Changes some bit patterns by small steps, a few by any. */
function stepped(bytes, width, r, most, few = 0.01) {
  const changed = bytes.slice();
  const view = new DataView(changed.buffer);
  const [get, set] = [`getUint${8 * width}`, `setUint${8 * width}`];
  for (let at = 0; at < changed.length; at += width)
    if (r.chance(few)) view[set](at, r.below(2 ** (8 * width)), true);
    else if (r.chance(0.7)) view[set](at, view[get](at, true) + r.below(2 * most + 1) - most, true);
  return changed;
}

/** Gives bytes another width: the upper half of each element, or zeros below. */
const upperHalf = (bytes) => bytes.filter((_, i) => i % 4 > 1);
const zerosBelow = (bytes) =>
  Uint8Array.from({ length: 2 * bytes.length }, (_, i) => (i % 4 > 1 ? bytes[(i >> 2) * 2 + (i % 2)] : 0));

function tunedTensors(r) {
  return baseTensors().map(({ name, dtype, shape, data }) => {
    const own = (data, width, most = 2, as = dtype) => ({
      ...{ name, dtype: as, shape: shape.with(0, data.length / width / (shape[1] ?? 1)) },
      data: stepped(data, width, r, most),
    });
    if (name === 'model.a') return { ...own(data, 2, 3), name: 'a' };
    if (name === 'wide' || name === 'same') return { name, dtype, shape, data };
    if (name === 'bool')
      return { name, dtype, shape, data: data.map((byte, i) => (i % 50 ? byte : 1 - byte)) };
    if (name === 'many')
      return { name, dtype, shape, data: data.map((byte) => (r.chance(0.005) ? byte + 1 : byte)) };
    if (name === 'f32' || name === 'I32') return own(data, 4, 3000);
    if (name === 'f32 of bf16') return own(upperHalf(data), 2, 2, 'BF16');
    if (name === 'bf16 of f32') return own(zerosBelow(data), 4, 2, 'F32');
    if (name === 'f32 of f16') return own(halvesOf(data), 2, 2, 'F16');
    if (name === 'more rows') return own(Uint8Array.from([...data, ...patterns(2, 128, r)]), 2);
    if (name === 'fewer rows') return own(data.slice(0, 1024), 2);
    return own(data, WIDTHS[dtype]);
  });
}

/** Matrices, some of which the base has. */
function tunedMatrices(r) {
  const a = baseTensors().find(({ name }) => name === 'model.a');
  const longer = Uint8Array.from([...stepped(zerosBelow(a.data), 4, r, 300000, 0), ...floats(256, r)]);
  return [
    { ...a, data: stepped(a.data, 2, r, 9, 0) },
    { name: 'a', dtype: 'F32', shape: [34, 64], data: longer },
    f32('b', [61, 72], r),
  ];
}

/** F16 near the F32 values, which are normal in it. */
function halvesOf(bytes) {
  const words = new Uint32Array(bytes.slice().buffer);
  const half = (word) =>
    ((word >>> 16) & 0x8000) | ((((word >>> 23) & 0xff) - 112) << 10) | ((word >>> 13) & 0x3ff);
  return new Uint8Array(Uint16Array.from(words, half).buffer);
}

/** Sum of a few even draws: a bell curve from 0 to below `size`, around `middle`. */
function bell(r, size, middle, width) {
  const value = Math.round(middle + width * (r.next() + r.next() + r.next() + r.next() - 2));
  return Math.max(0, Math.min(size - 1, value));
}

/** Symbols in the contexts of their groups: nibbles in bytes, in words along columns and along rows; bytes by rows; blocks of ggml. */
function everyContext(r) {
  const nibbles = (length, middleOf) =>
    Uint8Array.from(
      { length },
      (_, i) => bell(r, 16, middleOf(2 * i), 3) | (bell(r, 16, middleOf(2 * i + 1), 3) << 4),
    );
  const middles = Array.from({ length: 512 }, () => 4 + r.below(8));
  const rows = Uint8Array.from({ length: 16384 }, (_, i) => {
    const width = i % 2048 < 1024 ? 3 : 60;
    return bell(r, 256, 128, width) ^ 128;
  });
  const blocks = Uint8Array.from({ length: 300 * 22 }, (_, i) =>
    i % 22 < 2
      ? r.below(60)
      : i % 22 < 6
        ? r.below(256) & r.below(256)
        : bell(r, 16, 8, 4) | (bell(r, 16, 8, 4) << 4),
  );
  return [
    { name: 'groups', dtype: 'U8', shape: [800, 16], data: nibbles(12800, (i) => middles[(i >> 5) & 511]) },
    {
      name: 'in columns',
      dtype: 'I32',
      shape: [64, 64],
      data: nibbles(64 * 64 * 4, (i) => middles[(i >> 3) & 63]),
    },
    { name: 'in rows', dtype: 'I32', shape: [256, 16], data: nibbles(256 * 64, (i) => middles[i & 127]) },
    { name: 'graded', dtype: 'I8', shape: [16, 1024], data: rows },
    { name: 'blocks', dtype: 'U8', shape: [300, 22], data: blocks },
  ];
}

/** Integers with a structure: steps that repeat and start over; sorted ones. */
function everyInteger(r) {
  let next = 0;
  const sorted = integers(500, () => (next += r.below(30)));
  const groups = Int32Array.from({ length: 1000 }, (_, i) => Math.floor(i / 128));
  return [
    { name: 'g_idx', dtype: 'I32', shape: [1000], data: new Uint8Array(groups.buffer) },
    { name: 'position_ids', dtype: 'I64', shape: [9, 60], data: integers(540, (i) => i % 60) },
    { name: 'sorted', dtype: 'I64', shape: [500], data: sorted },
  ];
}

/** f32 and f64 whose lower half is zero, but for a few elements. */
function patched(r) {
  const f32 = new Uint8Array(Float32Array.from({ length: 3000 }, () => (r.next() - 0.5) / 8).buffer);
  const f64 = new Uint8Array(Float64Array.from({ length: 2000 }, () => (r.next() - 0.5) / 8).buffer);
  const cut = (bytes, width) =>
    bytes.map((byte, i) => (i % width < width / 2 && Math.floor(i / width) % 911 !== 5 ? 0 : byte));
  return [
    { name: 'f32', dtype: 'F32', shape: [3000], data: cut(f32, 4) },
    { name: 'f64', dtype: 'F64', shape: [2000], data: cut(f64, 8) },
  ];
}

/** f32 with a scale of its own for every row and column. */
function shiftedRows(r) {
  const [rows, columns] = [40, 60];
  const scales = (count) => Array.from({ length: count }, () => 2 ** (r.below(16) - 8));
  const [byRow, byColumn] = [scales(rows), scales(columns)];
  const values = Float32Array.from({ length: rows * columns }, (_, i) =>
    i % 101 ? (r.next() - 0.5) * byRow[Math.floor(i / columns)] * byColumn[i % columns] : 0,
  );
  return { name: 'exp_avg_sq', dtype: 'F32', shape: [rows, columns], data: new Uint8Array(values.buffer) };
}

const model = (tensors) => ({ 'model.safetensors': tensorFile(tensors) });
const experts = (r) => ({
  'config.json': text('{"model_type":"llama"}'),
  ...model([
    { name: 'mlp.experts.weight', dtype: 'BF16', shape: [3, 20, 64], data: halves(3840, r) },
    { name: 'kernel.weight', dtype: 'F16', shape: [24, 8, 3], data: float16s(576, r) },
    { name: 'a.weight', dtype: 'F32', shape: [257, 17], data: floats(257 * 17, r) },
  ]),
});

/** Normal numbers of F16: a random sign and mantissa, an exponent near that of 0.01. */
const float16s = (count, r) =>
  new Uint8Array(
    Uint16Array.from({ length: count }, () => (r.below(2) << 15) | (r.below(4096) + 0x1c00)).buffer,
  );

const matrix = (r) => model([f32('a.weight', [61, 72], r), f32('bias', [72], r)]);

const transform = (name, dimensions, keep) => ({
  about: `transform ${name}, ${dimensions === 1 ? 'blocks of 16' : 'tiles of 16 x 16'}, ${keep ? 'the largest coefficients in F16' : 'all coefficients quantized'}`,
  files: matrix,
  write: toBudget({ transform: name, size: 16, dimensions, keepLargest: keep }, 8),
});

/** By name: what it is for, its files, the file that it is stored as differences from, what writes them if loss is allowed, and what changes the finished file. */
export const SOUND = {
  modes: { about: 'a block of every lossless mode', files: (r) => model(everyMode(r)) },
  dtypes: { about: 'a tensor of every element type', files: (r) => model(everyDtype(r)) },
  contexts: { about: 'symbols of quantized weights in contexts', files: (r) => model(everyContext(r)) },
  integers: { about: 'stairs and differences', files: (r) => model(everyInteger(r)) },
  patches: { about: 'floats whose last bits are zero but for a few', files: (r) => model(patched(r)) },
  shifted: {
    about: 'floats whose rows and columns differ in scale',
    files: (r) => model([shiftedRows(r)]),
  },
  floats: {
    about: 'every way to split floats, and floats that are no numbers',
    files: (r) => model(everyFloat(r)),
  },
  streams: { about: 'streams of 32 states', files: (r) => model(longStreams(r)) },
  blocks: { about: 'tensors of several blocks', files: () => model(severalBlocks()) },
  folder: {
    about: 'tied tensors, side files, subfolders, an empty folder, weights that are no part of the model',
    files: manyFiles,
    change: addEmptyFolder,
  },
  gguf: { about: 'a GGUF file', files: (r) => ({ 'model.gguf': ggufFile(r) }) },
  pytorch: { about: 'a PyTorch checkpoint', files: (r) => ({ 'pytorch_model.bin': torchFile(r) }) },
  onnx: { about: 'an ONNX file, and one beside it with external data', files: onnxFiles },
  bytes: {
    about: 'a file over 1 MiB of a format that is not known',
    files: () => ({
      'a/b.dat': new Uint8Array(Uint32Array.from({ length: 275000 }, (_, i) => 3 * i).buffer),
    }),
  },
  unknown: {
    about: 'members, a format and a role that no reader knows: they are ignored, everything is restored',
    files: (r) => ({ 'config.json': text('{}'), ...model([f32('w', [8, 8], r)]) }),
    change: addUnknown,
  },
  base: { about: 'what difference.wpk needs', files: () => model(baseTensors()) },
  difference: {
    about:
      'differences from base.wpk: of every type that has them, from other types, of more and fewer rows, with low bits and escapes, with 4 and 32 states; and elements that are the same',
    files: (r) => model(tunedTensors(r)),
    base: 'base',
  },
  trellis: { about: 'trellis blocks', files: matrix, write: quantized(6) },
  'trellis-difference': {
    about:
      'trellis blocks of differences from base.wpk: from the same type, from another and of more rows, and without a base',
    files: (r) => model(tunedMatrices(r)),
    write: quantized(2.5),
    base: 'base',
  },
  'trellis-shapes': {
    about: 'trellis: stacked experts, a kernel, 257 rows, BF16 and F16',
    files: experts,
    write: quantized(5),
  },
  'trellis-all': {
    about: 'trellis: escapes, raw bits, shrinks, factors of rows and columns',
    files: matrix,
    write: quantized(6),
    change: useEverything,
  },
  'transform-none': transform('none', 1, false),
  'transform-rft': transform('rft', 1, false),
  'transform-dft': transform('dft', 2, false),
  'transform-dct': transform('dct', 2, true),
  'transform-hadamard': transform('hadamard', 1, true),
  'transform-haar': transform('haar', 2, false),
  'transform-klt': transform('klt', 2, false),
  'transform-svd': transform('svd', 1, false),
};

/** The bytes of a file of {@link SOUND}. */
export async function makeSound(place, name) {
  const { files, write, change, base } = SOUND[name];
  const from = base && join(place, `${base}.wpk`);
  const bytes = await makeFile(place, name, files(new Random(1)), write, from);
  if (!change) return bytes;
  const wpk = parseWpk(bytes);
  await change(wpk);
  return writeWpk(wpk);
}

function addEmptyFolder(wpk) {
  for (const part of [wpk.manifest, wpk.directory]) part.emptyFolders = ['logs/empty'];
  layOut(wpk);
}

function addUnknown(wpk) {
  for (const part of [wpk.manifest, wpk.directory]) {
    part.added = { in: 'a later version' };
    part.weightFiles[0].format = 'a format of a later version';
    part.tensors[0].role = 'a role of a later version';
  }
  wpk.directory.tensors[0].added = [1];
  layOut(wpk);
}

/** Replaces what was quantized by codes and indices that use all that the format has. */
async function useEverything(wpk) {
  const [rows, columns] = wpk.directory.tensors[0].shape;
  const random = new Random(2);
  const codes = (count) => ({
    steps: Int16Array.from({ length: count }, () => random.below(9) - 4),
    contexts: Int16Array.from({ length: count }, () => 12 + random.below(3)),
    factors: Int8Array.from({ length: count }, () => random.below(256) - 128),
  });
  const indices = Int16Array.from({ length: rows * columns }, () =>
    Math.round((random.next() - 0.5) * 2 ** random.below(11)),
  );
  indices.set([1000, -1000, 16, -17, 0], 0);
  const counts = new Float64Array(TABLES * INDICES);
  for (let table = 40; table < 60; table++)
    for (let k = -30; k <= 30; k++) counts[table * INDICES + MAX_INDEX + k] = 1000 * 2 ** (-Math.abs(k) / 4);
  for (let table = 40; table < 60; table++) counts[table * INDICES] = 100; // what is larger escapes
  const shrinks = Float32Array.from({ length: TABLES * 4 }, (_, i) => (i % 4 ? ((i % 7) - 2) / 128 : 0));
  const tables = writeTables(counts, shrinks);
  const ranges = { rowFactorRange: 0.25, columnFactorRange: 0.125 };
  const parameters = { scale: Math.fround(0.01), ...ranges, columns: codes(columns) };
  const block = encodeBlock(new IndexCoder(), readTables(tables), parameters, { rows: codes(rows), indices });
  const [shared] = wpk.frames.filter(({ kind }) => kind === 'tables');
  shared.payload = tables;
  const own = wpk.frames.filter(({ kind, owner }) => kind === 'tensors' && owner === 0);
  [own[0].payload, own[1].payload] = [writeParameters(parameters), block];
  layOut(wpk);
  await repairDigests(wpk);
}
