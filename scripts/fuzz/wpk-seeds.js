import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compress, open } from '../../dist/index.js';
import { folderOf } from './checks.js';
import { gguf, protobuf, safetensors, text, zip, zipEntry } from './formats.js';
import { stateOps } from './kinds/pickle.js';
import { joined } from './mutate.js';
import { Random } from './random.js';
import { parseWpk } from './wpk-file.js';

// Small .wpk files of every codec and every kind of file that they hold, by the writers.

const random = () => new Random(1);

export function tensorFile(tensors) {
  let offset = 0;
  const header = { __metadata__: { format: 'pt' } };
  for (const { name, dtype, shape, data } of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + data.length] };
    offset += data.length;
  }
  return safetensors({
    header: text(JSON.stringify(header)),
    data: joined(...tensors.map(({ data }) => data)),
  });
}

export const floats = (count, r) =>
  new Uint8Array(Float32Array.from({ length: count }, () => (r.next() + r.next() - 1) / 20).buffer);
export const halves = (count, r) => floats(count, r).filter((_, i) => i % 4 >= 2);
export const integers = (count, value) =>
  new Uint8Array(BigInt64Array.from({ length: count }, (_, i) => BigInt(value(i))).buffer);
export const f32 = (name, shape, r) => ({
  name,
  dtype: 'F32',
  shape,
  data: floats(
    shape.reduce((a, b) => a * b, 1),
    r,
  ),
});

/** Tensors for every mode of the lossless codec. */
export function everyMode(r) {
  const rows = r.bytes(34 * 40).map((byte, i) => (i % 34 === 1 ? 0x2c : i % 34 > 1 ? byte & 0x33 : byte));
  const mask = integers(24 * 24, (i) => (i % 24 <= Math.floor(i / 24) ? 1 : 0));
  const skewed = new Uint8Array(
    Int32Array.from({ length: 700 }, () => Math.floor(r.next() ** 4 * 50)).buffer,
  );
  return [
    f32('floats', [24, 40], r),
    { name: 'halves', dtype: 'BF16', shape: [24, 40], data: halves(960, r) },
    { name: 'half', dtype: 'F16', shape: [300], data: halves(300, r) },
    { name: 'ramp', dtype: 'I64', shape: [1, 100], data: integers(100, (i) => 5 + 3 * i) },
    { name: 'band', dtype: 'I64', shape: [24, 24], data: mask },
    { name: 'planes', dtype: 'I32', shape: [700], data: skewed },
    { name: 'fields', dtype: 'U8', shape: [40, 34], data: rows },
    { name: 'stored', dtype: 'U8', shape: [90], data: r.bytes(90) },
    { name: 'empty', dtype: 'F32', shape: [0, 4], data: new Uint8Array() },
    { name: 'double', dtype: 'F64', shape: [40], data: integers(40, (i) => i * 12345678901) },
  ];
}

export const ggufFile = (r) =>
  gguf({
    version: 3n,
    keys: [
      { key: 'general.architecture', type: 8, value: 'llama' },
      { key: 'llama.block_count', type: 4, value: 1n },
    ],
    tensors: [{ name: 'blk.0.attn_q.weight', dimensions: [64n, 4n], type: 8n, offset: 0n }],
    data: r.bytes(4 * 2 * 34 + 16),
    alignment: 32,
  });

export const torchFile = (r) =>
  zip([
    zipEntry('archive/data.pkl', joined(...stateOps(new Random(3)))),
    zipEntry('archive/data/0', floats(32, r)),
    zipEntry('archive/data/1', floats(8, r)),
  ]);

/** An ONNX file, and a file beside it that holds one of its tensors. */
export function onnxFiles(r) {
  const external = floats(300, r);
  const place = { location: 'model.onnx_data', offset: '64', length: `${external.length}` };
  const places = Object.entries(place).map(([key, value]) => [13, [[1, key], [2, value]]]); // biome-ignore format: pairs
  const tensors = [
    [5, [[1, 20n], [1, 16n], [2, 1n], [8, 'inside'], [9, floats(320, r)]]], // biome-ignore format: fields
    [5, [[1, 4n], [2, 7n], [8, 'shape'], [7, Uint8Array.of(1, 2, 3, 4)]]], // biome-ignore format: fields
    [5, [[1, 300n], [2, 1n], [8, 'beside'], ...places, [14, 1n]]],
  ];
  return {
    'model.onnx': protobuf([[1, 8n], [2, 'vectors'], [7, [[2, 'main'], ...tensors]], [8, [[2, 17n]]]]), // biome-ignore format: fields
    'model.onnx_data': joined(new Uint8Array(64), external, new Uint8Array(10)),
  };
}

const CONFIG = text('{"model_type":"llama","hidden_size":64,"vocab_size":40}');

/** Two tensors of one content, and files that are no part of the model. */
export function manyFiles(r) {
  const tied = f32('embed.weight', [40, 64], r);
  return {
    'config.json': CONFIG,
    'README.md': text('---\nlicense: mit\n---\nA model.\n'),
    'model.safetensors': tensorFile([tied, { ...tied, name: 'lm_head.weight' }, f32('norm.weight', [64], r)]),
    '2_Dense/model.safetensors': tensorFile([f32('linear.weight', [4, 8], r)]),
    'pytorch_model.bin': torchFile(r),
    'other/model.gguf': ggufFile(r),
    'noise.bin': r.bytes(200),
    'empty.txt': new Uint8Array(),
  };
}

const matrices = (r) => ({
  'config.json': CONFIG,
  'model.safetensors': tensorFile([
    f32('a.weight', [48, 64], r),
    f32('b.weight', [300, 32], r),
    f32('norm.weight', [64], r),
  ]),
});

export const toBudget = (codec, bits) => (model, output, base) =>
  compress(model, output, { codec, budget: { bits }, calibration: false, force: true, threads: 1, base });

export const quantized = (bits) => toBudget('trellis', bits);

/** By name: files, and what writes them. */
const SEEDS = {
  modes: [(r) => ({ 'model.safetensors': tensorFile(everyMode(r)) })],
  folder: [manyFiles],
  gguf: [(r) => ({ 'model.gguf': ggufFile(r) })],
  torch: [(r) => ({ 'pytorch_model.bin': torchFile(r) })],
  trellis: [matrices, quantized(3)],
  rft: [matrices, toBudget({ transform: 'rft', size: 32 }, 4)],
  klt: [matrices, toBudget({ transform: 'klt', size: 16, dimensions: 2, keepLargest: true }, 6)],
  svd: [matrices, toBudget({ transform: 'svd', size: 32, keepLargest: true }, 8)],
};

/** The bytes of a .wpk of these files, made in `place`. `write` makes it of the opened model; without it, without loss, against `base`. */
export async function makeFile(place, name, files, write, base) {
  const folder = folderOf(files, join(place, name));
  const output = join(place, `${name}.wpk`);
  if (write) {
    const model = await open(folder);
    await write(model, output, base);
    await model.close();
  } else await compress(folder, output, { threads: 0, force: true, base });
  return Uint8Array.from(readFileSync(output));
}

/** @returns parsed files, in the order of their names. Made in `place`. */
export async function makeSeeds(place) {
  const seeds = [];
  for (const [name, [files, write]] of Object.entries(SEEDS))
    seeds.push(parseWpk(await makeFile(place, name, files(random()), write)));
  return seeds;
}
