// Reading at random: tensors and slices by name, as `safe_open` of Python's safetensors, and how much is read for them.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { elementCount } from '../src/core/dtype.js';
import { compress, InputError, IntegrityError, open, type SliceRange, safeOpen } from '../src/index.js';
import { SafeFile } from '../src/open/safe-open.js';
import { readElements } from '../src/wpk/elements.js';
import { WpkModel } from '../src/wpk/model.js';
import { planTensor } from '../src/wpk/plan.js';
import { CountingSource, folder, safetensors, seededRandom } from './helpers/safetensors.js';

const random = seededRandom(11);
const below = (limit: number) => Math.floor(random() * limit);

/** Trained-looking numbers: floats of a narrow range, as bytes of each type. */
function bytesOf(dtype: string, count: number): Uint8Array {
  const values = Float32Array.from({ length: count }, () => (random() - 0.5) * 0.1);
  const words = new Uint32Array(values.buffer);
  if (dtype === 'F32') return new Uint8Array(values.buffer);
  if (dtype === 'BF16') return new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer);
  if (dtype === 'F16')
    return new Uint8Array(Uint16Array.from(words, (word) => (word >>> 16) & 0x3fff).buffer);
  if (dtype === 'I64') return new Uint8Array(BigInt64Array.from(words, (word) => BigInt(word)).buffer);
  return Uint8Array.from(words, (word) => word & 1);
}

const SHAPES: Readonly<Record<string, readonly [dtype: string, shape: readonly number[]]>> = {
  large: ['BF16', [1200, 1500]], // four blocks
  single: ['F32', [300, 1000]], // two
  half: ['F16', [7, 5, 3, 4]],
  ints: ['I64', [40, 3]],
  flags: ['BOOL', [33]],
  scalar: ['F32', []],
  empty: ['F32', [0, 4]],
};
const tensors = Object.entries(SHAPES).map(([name, [dtype, shape]]) => ({
  name,
  dtype,
  shape,
  data: bytesOf(dtype, elementCount(shape)),
}));
const place = folder({ 'model.safetensors': safetensors(tensors, { format: 'pt', by: 'test' }) });
const plain = join(place, 'model.safetensors');
const wpk = join(place, 'model.wpk');
await compress(plain, wpk, { threads: 0 });

/** Bytes of a slice, element by element. */
function expected(name: string, ranges: readonly SliceRange[]): { shape: number[]; bytes: Uint8Array } {
  const { data, shape } = tensors.find((tensor) => tensor.name === name)!;
  const width = data.length / elementCount(shape);
  const indices = shape.map((size, i) => {
    const range = ranges[i] ?? [];
    const all = Array.from({ length: size }, (_, at) => at);
    return typeof range === 'number' ? [all.at(range)!] : all.slice(range[0] ?? 0, range[1] ?? size);
  });
  let offsets = [0];
  for (const [i, size] of shape.entries())
    offsets = offsets.flatMap((offset) => indices[i]!.map((at) => offset * size + at));
  const bytes = new Uint8Array(offsets.length * width);
  for (const [i, offset] of offsets.entries())
    bytes.set(data.subarray(offset * width, (offset + 1) * width), i * width);
  const kept = indices.filter((_, i) => typeof ranges[i] !== 'number');
  return { shape: kept.map(({ length }) => length), bytes };
}

/** A range of a dimension, or an index. */
function drawRange(size: number): SliceRange {
  if (random() < 0.2) return below(2 * size) - size;
  if (random() < 0.2) return [];
  const start = below(size + 1);
  return [start, start + below(Math.min(size - start, 40) + 1)];
}

const asBytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);

describe.each([
  ['a .safetensors file', plain],
  ['a folder', place],
  ['a .wpk', wpk],
])('safeOpen of %s', (kind, path) => {
  it('has names, metadata, and whole tensors', async () => {
    await using file = await safeOpen(path, kind === 'a folder' ? { exclude: ['*.wpk'] } : {});
    expect(file.offsetKeys()).toEqual(Object.keys(SHAPES));
    expect(file.keys()).toEqual(Object.keys(SHAPES).sort());
    expect({ ...file.metadata() }).toEqual({ format: 'pt', by: 'test' });
    for (const { name, dtype, shape, data } of tensors) {
      const tensor = await file.getTensor(name);
      expect(tensor).toMatchObject({ dtype, shape });
      expect(asBytes(tensor.data)).toEqual(data);
    }
    expect((await file.getTensor('ints')).data).toBeInstanceOf(BigInt64Array);
    expect((await file.getTensor('scalar')).data).toHaveLength(1);
  });

  it('has slices equal to those of whole tensors', async () => {
    await using file = await safeOpen(path);
    for (const { name, shape } of tensors) {
      const slice = file.getSlice(name);
      expect(slice).toMatchObject({ dtype: SHAPES[name]![0], shape });
      for (let run = 0; run < (name === 'large' ? 8 : 15) && elementCount(shape); run++) {
        const ranges = shape.slice(0, below(shape.length + 1)).map(drawRange);
        const part = await slice.get(...ranges);
        const { shape: kept, bytes } = expected(name, ranges);
        expect(part.shape, `${name} ${JSON.stringify(ranges)}`).toEqual(kept);
        expect(Buffer.compare(asBytes(part.data), bytes), `${name} ${JSON.stringify(ranges)}`).toBe(0);
      }
    }
    expect((await file.getSlice('large').get([5, 5], [1])).shape).toEqual([0, 1499]);
    expect((await file.getSlice('large').get([1200], 7)).data).toHaveLength(0);
    expect((await file.getSlice('empty').get([0, 0])).shape).toEqual([0, 4]);
  });

  it('makes floats of BF16, as Tensor.floats does', async () => {
    await using file = await safeOpen(path);
    await using model = await open(path);
    const tensor = model.tensors.find(({ name }) => name === 'large')!;
    const row = await file.getSlice('large').get(-1);
    expect(row.shape).toEqual([1500]);
    expect(row.floats()).toEqual(await tensor.floats({ start: 1199 * 1500 }));
    const ints = await file.getTensor('ints');
    expect(() => ints.floats()).toThrow(/expected elements of F32/);
  });

  it('refuses what is not there, and everything once it is closed', async () => {
    const file = await safeOpen(path);
    expect(() => file.getSlice('other')).toThrow(InputError);
    await expect(file.getTensor('other')).rejects.toThrow(/tensor "other": no such tensor$/);
    const slice = file.getSlice('large');
    const bad: [SliceRange[], RegExp][] = [
      [[[0, 1201]], /tensor "large": dimension 0: range 0:1201 is outside of its 1200 indices$/],
      [[[], [9, 8]], /dimension 1: range 9:8 is outside/],
      [[[-1]], /dimension 0: range -1: is outside/],
      [[[0.5]], /range 0\.5: is outside/],
      [[1200], /index 1200 is outside/],
      [[-1201], /index -1201 is outside/],
      [[Number.NaN], /index NaN is outside/],
      [[0, 0, 0], /expected at most 2 ranges for shape \[1200, 1500\], found 3$/],
    ];
    for (const [ranges, message] of bad) {
      const error = await slice.get(...ranges).catch((thrown) => thrown);
      expect(error).toBeInstanceOf(InputError);
      expect(error.message).toMatch(message);
    }
    const aborted = { signal: AbortSignal.abort(new Error('no longer')) };
    await expect(file.getTensor('large', aborted)).rejects.toThrow('no longer');
    await slice.get(0);
    await file.close();
    await file.close();
    for (const attempt of [
      () => file.keys(),
      () => file.offsetKeys(),
      () => file.metadata(),
      () => file.getSlice('large'),
    ])
      expect(attempt).toThrow(/is closed$/);
    await expect(slice.get(0)).rejects.toThrow(/is closed$/);
  });

  it('refuses a closed model too, also for what was just read', async () => {
    const model = await open(path);
    const tensor = model.tensors.find(({ name }) => name === 'large')!;
    await tensor.floats({ end: 10 });
    await model.close();
    await expect(tensor.floats({ end: 10 })).rejects.toThrow(/: is closed$/);
  });
});

describe('what is read of a .wpk', () => {
  const opened = async (bytes: Uint8Array = readFileSync(wpk)) => {
    const source = new CountingSource('counted.wpk', bytes);
    const model = await WpkModel.open(source);
    return { source, model, file: new SafeFile(model) };
  };

  it('is one frame per block of the slice, and nothing for neighbors', async () => {
    const { source, model, file } = await opened();
    const large = model.container.directory.tensors.find(({ name }) => name === 'large')!;
    const frames = planTensor(large).map(({ start, end }) => [start, end]);
    expect(frames.length).toBe(4);
    source.ranges.length = 0;
    const slice = file.getSlice('large');
    await slice.get([0, 20], [3, 5]);
    expect(source.ranges).toEqual([frames[0]]);
    await slice.get([100, 300]); // the same block
    await model.tensors[0]!.floats({ start: 5, end: 50 });
    expect(source.ranges).toHaveLength(1);
    await slice.get([1100, 1101]);
    await slice.get([0, 1]);
    expect(source.ranges).toEqual([frames[0], frames[3]]);
    await slice.get([]); // of whole blocks, those that are not here
    expect(source.ranges).toEqual([frames[0], frames[3], frames[1], frames[2]]);
  });

  it('of columns is each block once', async () => {
    const { source, file } = await opened();
    source.ranges.length = 0;
    const { bytes } = expected('large', [[], [700, 702]]);
    expect(asBytes((await file.getSlice('large').get([], [700, 702])).data)).toEqual(bytes);
    expect(source.ranges).toHaveLength(4);
  });

  it('is right for many reads at once', async () => {
    const { file } = await opened();
    const slice = file.getSlice('large');
    await Promise.all(
      Array.from({ length: 40 }, async () => {
        const row = below(1200);
        expect(asBytes((await slice.get(row)).data)).toEqual(expected('large', [row]).bytes);
      }),
    );
  });

  it('damaged, is an IntegrityError each time, of its block alone', async () => {
    const bytes = Uint8Array.from(readFileSync(wpk));
    const whole = await opened();
    const large = whole.model.container.directory.tensors.find(({ name }) => name === 'large')!;
    const [first] = planTensor(large);
    bytes[(first!.start + first!.end) >> 1]! ^= 1;
    const path = join(place, 'damaged.wpk');
    writeFileSync(path, bytes);
    await using file = await safeOpen(path);
    for (let i = 0; i < 2; i++) await expect(file.getSlice('large').get(0)).rejects.toThrow(IntegrityError);
    expect(asBytes((await file.getSlice('large').get(-1)).data)).toEqual(expected('large', [-1]).bytes);
  });
});

it('reads of a plain file only the bytes between the first and the last of near runs', async () => {
  const model = await open(plain);
  const asked: [number, number][] = [];
  const counted = Object.assign(Object.create(model), {
    tensors: model.tensors.map((tensor) => ({
      ...tensor,
      bytes: (range: { start: number; end: number }) => {
        asked.push([range.start, range.end]);
        return tensor.bytes(range);
      },
    })),
  });
  await using file = new SafeFile(counted);
  await file.getSlice('large').get([10, 20]);
  await file.getSlice('large').get([10, 12], [0, 4]);
  await file.getSlice('large').get([], 0);
  expect(asked).toEqual([
    [30000, 60000],
    [30000, 33008],
    [0, 1199 * 3000 + 2],
  ]);
});

it('of a quantized tensor reads parameters and tables once', async () => {
  const path = folder({
    'model.safetensors': safetensors([
      { name: 'w', dtype: 'BF16', shape: [600, 64], data: bytesOf('BF16', 600 * 64) },
    ]),
  });
  const lossy = join(path, 'lossy.wpk');
  await compress(path, lossy, { budget: { bits: 4 }, calibration: false, threads: 0 });
  const source = new CountingSource('lossy.wpk', readFileSync(lossy));
  const model = await WpkModel.open(source);
  const [tensor] = model.container.directory.tensors;
  expect(tensor!.codec).toBe('trellis');
  const whole = await readElements(model.container, tensor!, 0, 600 * 128);
  source.ranges.length = 0;
  const file = new SafeFile(model);
  for (const row of [0, 10, 300, 599, 1])
    expect(asBytes((await file.getSlice('w').get(row)).data)).toEqual(
      whole.slice(row * 128, (row + 1) * 128),
    );
  expect(source.ranges).toHaveLength(3); // its blocks of 256 rows
});
