import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compress, decompress, inspect, open } from '../src/index.js';
import { SMALL } from './helpers/fixtures.js';
import { causalMask, copyModelAs, narrow } from './helpers/models.js';
import { f32, folder, safetensors, seededRandom, type TestTensor } from './helpers/safetensors.js';

/** Compresses a model of these tensors, checks that it comes back to the byte, and says what is in the .wpk. */
async function press(tensors: readonly TestTensor[]) {
  const original = safetensors(tensors);
  const path = folder({ 'model.safetensors': original });
  const model = await open(path);
  await compress(model, join(path, 'out.wpk'), { threads: 1 });
  await model.close();
  await decompress(join(path, 'out.wpk'), join(path, 'back'));
  expect(Buffer.compare(readFileSync(join(path, 'back', 'model.safetensors')), original)).toBe(0);
  return inspect(join(path, 'out.wpk'));
}

const bytesOf = (data: ArrayBufferView) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Values that look like weights. */
function weights(count: number, seed = 1): Float32Array {
  const random = seededRandom(seed);
  return Float32Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    return 0.02 * radius * Math.cos(2 * Math.PI * random());
  });
}

describe('a tensor that is stored twice', () => {
  it('costs its entry in the directory', async () => {
    const shape = [500, 128];
    const embedding = f32('transformer.wte.weight', shape, weights(500 * 128));
    const norm = f32('transformer.ln_f.weight', [128], weights(128, 2));
    const once = await press([embedding, norm]);
    const twice = await press([embedding, norm, { ...embedding, name: 'lm_head.weight' }]);
    const head = twice.tensors.find(({ name }) => name === 'lm_head.weight')!;
    expect(head.sameAs).toBe('transformer.wte.weight');
    expect(head.compressedBytes).toBe(0);
    expect(twice.fileBytes - once.fileBytes).toBeLessThan(200);
  });

  it('costs nothing more when it has another shape, but is stored when it has another dtype', async () => {
    const data = bytesOf(weights(3000));
    const { tensors } = await press([
      { name: 'a', dtype: 'F32', shape: [3000], data },
      { name: 'b', dtype: 'F32', shape: [30, 100], data },
      { name: 'c', dtype: 'I32', shape: [3000], data },
    ]);
    expect(tensors.map(({ sameAs }) => sameAs)).toEqual([undefined, 'a', undefined]);
  });

  it('is not confused with one that differs in a single byte anywhere', async () => {
    const data = bytesOf(weights(30_000));
    const tensors = [0, 5000, 60_000, 119_999].map((at) => {
      const changed = data.slice();
      changed[at]! ^= 1;
      return { name: `changed at ${at}`, dtype: 'F32', shape: [30_000], data: changed };
    });
    const summary = await press([{ name: 'a', dtype: 'F32', shape: [30_000], data }, ...tensors]);
    expect(summary.tensors.every(({ sameAs }) => sameAs === undefined)).toBe(true);
  });
});

describe('what has a structure costs under 100 bytes', () => {
  const n = 512;
  it.each(['U8', 'BOOL', 'F32', 'F16', 'I64'])(
    'causal and local masks of %s in every layer',
    async (dtype) => {
      const masks = [0, 1, 2, 3].map((layer) => ({
        name: `transformer.h.${layer}.attn.attention.bias`,
        dtype,
        shape: [1, 1, n, n],
        data: causalMask(n, layer % 2 ? 256 : n, dtype),
      }));
      const { tensors } = await press(masks);
      for (const { compressedBytes } of tensors) expect(compressedBytes).toBeLessThan(100);
      expect(tensors.map(({ sameAs }) => sameAs === undefined)).toEqual([true, true, false, false]);
    },
  );

  it('a mask of several blocks: so much each', async () => {
    const { tensors } = await press([
      { name: 'bias', dtype: 'F32', shape: [1, 1, 1024, 1024], data: causalMask(1024, 1024, 'F32') },
    ]);
    expect(tensors[0]!.compressedBytes).toBeLessThan(4 * 100);
  });

  it.each<[string, TestTensor]>([
    ['a constant', f32('t', [64, 1024], new Array(65536).fill(0.1))],
    ['zeros', f32('t', [65536], new Array(65536).fill(0))],
    ['minus infinity', f32('t', [65536], new Array(65536).fill(-Infinity))],
    ['nothing', f32('t', [3, 0, 2], [])],
    ['a scalar', f32('t', [], [-10_000])],
    ['a scalar boolean', { name: 't', dtype: 'BOOL', shape: [], data: Uint8Array.of(1) }],
    [
      'position_ids',
      {
        name: 't',
        dtype: 'I64',
        shape: [1, 2048],
        data: bytesOf(BigInt64Array.from({ length: 2048 }, (_, i) => BigInt(i))),
      },
    ],
  ])('%s', async (_, tensor) => {
    const { tensors } = await press([f32('other', [10], weights(10)), tensor]);
    expect(tensors.find(({ name }) => name === 't')!.compressedBytes).toBeLessThan(100);
  });
});

describe('f32 that came from a narrower type', () => {
  it.each(['BF16', 'F16'] as const)('costs what it costs as %s', async (dtype) => {
    const shape = [512, 1024];
    const { narrowed, widened } = narrow(weights(shape[0]! * shape[1]!), dtype);
    const wide = await press([{ name: 'w', dtype: 'F32', shape, data: bytesOf(widened) }]);
    const small = await press([{ name: 'w', dtype, shape, data: narrowed }]);
    const ratio = wide.tensors[0]!.compressedBytes / small.tensors[0]!.compressedBytes;
    expect(Math.abs(ratio - 1)).toBeLessThan(0.001);
  });
});

describe('gpt-neo-small without its side files, as a share of the tensors', () => {
  it.each([
    ['F32', 0.83],
    ['BF16', 0.658],
    ['F16', 0.847],
  ] as const)('%s: at most %d', { tags: 'slow' }, async (dtype, limit) => {
    const path = folder();
    copyModelAs(dtype, SMALL, path);
    const model = await open(path);
    const output = join(folder(), 'out.wpk');
    await compress(model, output);
    await model.close();
    const { fileBytesWithoutSideFiles, tensorBytes, fileBytes } = await inspect(output);
    expect(fileBytes).toBe(statSync(output).size);
    expect(fileBytesWithoutSideFiles / tensorBytes).toBeLessThanOrEqual(limit);
  });
});
