import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ByteSource } from '../src/core/byte-source.js';
import { compress, open } from '../src/index.js';
import { BlockCache } from '../src/wpk/block-cache.js';
import { WpkModel } from '../src/wpk/model.js';
import { planTensor } from '../src/wpk/plan.js';
import { safetensors, seededRandom } from './helpers/safetensors.js';

const folder = mkdtempSync(join(tmpdir(), 'weightpress-plan-'));
const output = join(folder, 'model.wpk');
const BLOCK = 2 ** 20;
let content: Uint8Array;
let wpk: Uint8Array;

beforeAll(async () => {
  const random = seededRandom(11);
  content = new Uint8Array(
    Float32Array.from({ length: (3 * BLOCK + 4096) / 4 }, () => random() - 0.5).buffer,
  );
  const small = new Uint8Array(Float32Array.of(1, 2, 3).buffer);
  const path = join(folder, 'model.safetensors');
  writeFileSync(
    path,
    safetensors([
      { name: 'small', dtype: 'F32', shape: [3], data: small },
      { name: 'large', dtype: 'F32', shape: [content.length / 4], data: content },
    ]),
  );
  const model = await open(path);
  await compress(model, output);
  await model.close();
  wpk = readFileSync(output);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A file in memory that notes what is read of it. */
class CountingSource implements ByteSource {
  readonly name = 'memory';
  readonly byteLength = wpk.length;
  readonly ranges: [number, number][] = [];
  async read(start: number, end: number) {
    this.ranges.push([start, end]);
    return Uint8Array.from(wpk.subarray(start, end));
  }
  async close() {}
}

async function opened() {
  const source = new CountingSource();
  const model = await WpkModel.open(source);
  const opening = source.ranges.splice(0);
  return { source, model, opening };
}

const bytesOf = (ranges: readonly [number, number][]) => ranges.reduce((sum, [a, b]) => sum + b - a, 0);

describe('reading a .wpk by ranges', () => {
  test('opening takes two reads: the front, and 64 KiB at the end', async () => {
    const { opening } = await opened();
    expect(opening.length).toBe(2);
    expect(bytesOf(opening)).toBeLessThan(2 ** 16 + 64);
  });

  test('a range of a tensor reads the frames of its blocks, once each, and no others', async () => {
    for (const [start, end, blocks] of [
      [0, 1, 1],
      [BLOCK - 1, BLOCK, 1],
      [BLOCK - 1, BLOCK + 1, 2],
      [BLOCK, 2 * BLOCK, 1],
      [5, 3 * BLOCK + 1, 4],
      [3 * BLOCK, 3 * BLOCK + 4096, 1],
      [77, 77, 0],
    ] as const) {
      const { model, source } = await opened();
      const bytes = await model.readTensor('large', start, end);
      expect(Buffer.from(bytes).equals(content.subarray(start, end)), `${start}..${end}`).toBe(true);
      expect(source.ranges.length, `${start}..${end}`).toBe(blocks);
      expect(bytesOf(source.ranges)).toBeLessThanOrEqual(blocks * BLOCK);
    }
  });

  test('a small tensor costs its own frame', async () => {
    const { model, source } = await opened();
    const bytes = await model.readTensor('small');
    expect([...new Float32Array(bytes.buffer)]).toEqual([1, 2, 3]);
    expect(source.ranges.length).toBe(1);
    expect(bytesOf(source.ranges)).toBeLessThan(100);
  });

  test('ranges outside of the tensor are refused', async () => {
    const { model } = await opened();
    await expect(model.readTensor('small', 4, 13)).rejects.toThrow(/outside the tensor of 12 bytes/);
    await expect(model.readTensor('small', 8, 4)).rejects.toThrow(/outside/);
    await expect(model.readTensor('none')).rejects.toThrow(/no such tensor/);
  });
});

const random = seededRandom(12);
const below = (limit: number) => Math.floor(random() * limit);

describe('planTensor', () => {
  const entry = (codec: string, dtype: 'BF16' | 'F32', shape: number[], count: number) => ({
    name: 'w',
    dtype,
    shape,
    role: '',
    codec,
    sha256: '',
    offset: 1000,
    frames: Array.from({ length: count }, (_, i) => 20 + i),
  });

  test.each([
    ['lossless', 'BF16' as const, [4000, 999], 8],
    ['trellis', 'F32' as const, [1000, 64], 5],
    ['transform', 'BF16' as const, [3000, 70], 3],
  ])('of a range is that part of the whole plan: %s', (codec, dtype, shape, count) => {
    const tensor = entry(codec, dtype, shape, count);
    const all = planTensor(tensor);
    expect(all.at(-1)!.end).toBe(1000 + tensor.frames.reduce((sum, length) => sum + length, 0));
    const bytes = all.at(-1)!.endByte;
    for (let run = 0; run < 200; run++) {
      const start = below(bytes + 2);
      const end = start + below(bytes + 2 - start);
      const overlapping = all.filter(
        ({ firstByte, endByte }) => start < end && endByte > start && firstByte < end,
      );
      expect(planTensor(tensor, start, end)).toEqual(overlapping);
    }
  });
});

test('keeps the blocks that were used last, in 8 MiB', () => {
  const cache = new BlockCache();
  const block = (value: number) => new Uint8Array(2 ** 20).fill(value);
  for (let i = 0; i < 8; i++) cache.add(i, block(i));
  expect(cache.get(0)![0]).toBe(0);
  cache.add(8, block(8));
  expect(cache.get(1)).toBeUndefined();
  expect([0, 2, 8].map((start) => cache.get(start)![5])).toEqual([0, 2, 8]);
  cache.add(9, new Uint8Array(2 ** 24).fill(9));
  expect(cache.get(8)).toBeUndefined();
  expect(cache.get(9)).toHaveLength(2 ** 24);
  cache.close();
  expect(cache.get(9)).toBeUndefined();
  cache.add(1, block(1));
  expect(cache.get(1)).toBeUndefined();
});
