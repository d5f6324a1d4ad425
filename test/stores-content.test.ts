import { createHash } from 'node:crypto';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { IntegrityError } from '../src/core/errors.js';
import {
  type PackedArray,
  packedPieces,
  packObject,
  readPacked,
  unpackObject,
} from '../src/stores/checked.js';
import { openStoredFile, putFile, type StoredFile } from '../src/stores/content.js';
import { openStore } from '../src/stores/open.js';
import type { Store } from '../src/stores/store.js';
import { chainedChecksum } from '../src/wasm/lossless.js';
import { setS3Environment } from './helpers/environment.js';
import { S3Server } from './helpers/s3-server.js';
import { CountingSource, folder } from './helpers/safetensors.js';
import { refusal } from './helpers/store-contract.js';

const MIB = 2 ** 20;

/** Bytes of which no block is like another. */
function noise(length: number, seed = 1): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + seed * 1_000_003, 0x9e3779b1);
  return new Uint8Array(words.buffer, 0, length);
}

const ARRAYS: readonly PackedArray[] = [
  Float64Array.of(1, Number.NaN, -0),
  Float32Array.of(0.5),
  Int32Array.of(-1, 2, 3),
  Uint32Array.of(2 ** 32 - 1),
  Int16Array.of(-5, 6, 7),
  Int8Array.of(-128),
  Uint8Array.of(255, 0, 1, 2, 3),
  new Float32Array(),
];

describe('a packed object', () => {
  test('has a header and arrays of every type', () => {
    const header = { kind: 'test', nested: { list: [1, 'ä'] } };
    const { header: read, arrays } = unpackObject(packObject(header, ARRAYS), 'x');
    expect(read).toEqual(header);
    expect(arrays).toEqual(ARRAYS);
    for (const [i, array] of arrays.entries()) expect(array).toBeInstanceOf(ARRAYS[i]!.constructor);
    expect(unpackObject(packObject({}), 'x')).toEqual({ header: {}, arrays: [] });
  });

  test('is read from any place in memory, and from pieces of any length', () => {
    const array = fc.oneof(
      fc.float32Array({ maxLength: 9 }),
      fc.int16Array({ maxLength: 9 }),
      fc.uint8Array({ maxLength: 9 }),
    );
    fc.assert(
      fc.property(fc.array(array, { maxLength: 4 }), fc.string(), fc.nat(9), (arrays, text, offset) => {
        const packed = Buffer.concat([Buffer.alloc(offset), packObject({ text }, arrays)]);
        for (const bytes of [packed.subarray(offset), new Uint8Array(packed).subarray(offset)])
          expect(unpackObject(bytes, 'x')).toEqual({ header: { text }, arrays });
      }),
      { numRuns: 200, seed: 4 },
    );
  });

  test('is written without copies of its arrays', () => {
    const array = new Float32Array(3 * MIB).fill(0.25);
    const pieces = [...packedPieces({ a: 1 }, [array, array])];
    expect(pieces.filter(({ buffer }) => buffer === array.buffer)).toHaveLength(2);
    const whole = Buffer.concat(pieces);
    const sum = chainedChecksum(whole.subarray(0, -8));
    expect(whole.readBigUInt64LE(whole.length - 8)).toBe(sum);
    expect(unpackObject(whole, 'x').arrays).toEqual([array, array]);
  });

  test('that is damaged in any byte, cut or longer, is refused by its name', () => {
    const packed = packObject({ kind: 'test' }, ARRAYS);
    const refused = (bytes: Uint8Array) => {
      let error: unknown;
      try {
        unpackObject(bytes, 's3://bucket/x');
      } catch (caught) {
        error = caught;
      }
      expect(error).toBeInstanceOf(IntegrityError);
      expect((error as Error).message).toMatch(/^s3:\/\/bucket\/x: damaged: /);
    };
    for (let at = 0; at < packed.length; at++)
      for (const flip of [1, 0x80, 0xff]) {
        const bytes = packed.slice();
        bytes[at]! ^= flip;
        refused(bytes);
      }
    for (let length = 0; length < packed.length; length++) refused(packed.subarray(0, length));
    refused(Buffer.concat([packed, Buffer.alloc(8)]));
  });

  /** An object with another JSON or version, whose checksum is right. */
  function forged(json: string, { version = 1, rest = 0, length = json.length } = {}): Uint8Array {
    const head = Buffer.alloc(Math.ceil((16 + json.length) / 8) * 8 + rest);
    head.write('WPOBJECT');
    head.writeUInt32LE(version, 8);
    head.writeUInt32LE(length, 12);
    head.write(json, 16);
    const sum = Buffer.alloc(8);
    sum.writeBigUInt64LE(chainedChecksum(head));
    return Buffer.concat([head, sum]);
  }

  const entry = (dtype: string, byteLength: unknown) =>
    JSON.stringify({ header: {}, arrays: [{ dtype, byteLength }] });
  test.each([
    ['JSON beyond its end', forged('{}', { length: 1e9 })],
    ['an array beyond its end', forged(entry('F32', 80), { rest: 8 })],
    ['an array that ends before it', forged(entry('F32', 8), { rest: 16 })],
    ['a length that is no number', forged(entry('F32', 'x'))],
    ['a length that is negative', forged(entry('F32', -8))],
    ['a length that is too large', forged(entry('U8', 1e300))],
    ['a length that is no whole number of elements', forged(entry('F32', 6), { rest: 8 })],
    ['a type that is not known', forged(entry('F16', 8), { rest: 8 })],
    ['a type that every object has', forged(entry('constructor', 8), { rest: 8 })],
    ['no header', forged('{"arrays":[]}')],
    ['no list', forged('{"header":{}}')],
  ])('with %s is refused', (_, bytes) => {
    expect(() => unpackObject(bytes, 'x')).toThrow(IntegrityError);
  });

  test('of another version is refused by it', () => {
    expect(() => unpackObject(forged('{}', { version: 2 }), 'x')).toThrow(
      'x: expected version 1 of objects, found 2',
    );
  });

  test('that is damaged in a store is named with it', async () => {
    const place = folder();
    const store = await openStore(place);
    await store.write('a/b', packedPieces({ kind: 'test' }, ARRAYS));
    expect((await readPacked(store, 'a/b')).arrays).toEqual(ARRAYS);
    writeFileSync(join(place, 'a/b'), 'x'.repeat(100));
    expect((await refusal(readPacked(store, 'a/b'))).message).toBe(`${place}/a/b: damaged: bad magic bytes`);
  });
});

const server = await new S3Server('bucket').start();
let restore = () => {};
beforeAll(() => {
  server.keys.set('KEY', undefined);
  const keys = { AWS_ACCESS_KEY_ID: 'KEY', AWS_SECRET_ACCESS_KEY: 'SECRET-OF-KEY' };
  restore = setS3Environment({ AWS_ENDPOINT_URL: server.endpoint, ...keys });
});
afterAll(async () => {
  restore();
  await server.stop();
});

describe.each([
  ['a folder', () => openStore(folder())],
  ['S3', () => openStore('s3://bucket/content')],
] as const)('a file in %s', (_, open) => {
  let store: Store;
  beforeAll(async () => {
    store = await open();
  });
  afterAll(() => store.close());

  test.each([0, 1, MIB - 1, MIB, MIB + 1, 9 * MIB + 3])('of %i bytes comes back', async (length) => {
    const bytes = noise(length, length);
    const source = new CountingSource('model.safetensors', bytes);
    const file = await putFile(store, source);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(file).toEqual({ sha256, bytes: length, name: 'model.safetensors' });
    expect(source.bytesRead).toBe(2 * length);
    expect(await store.size(`files/${sha256}`)).toBe(length);
    const stored = await openStoredFile(store, file);
    expect(stored).toMatchObject({ name: 'model.safetensors', byteLength: length });
    expect(await stored.read(0, length)).toEqual(bytes);
    await expect(stored.read(0, length + 1)).rejects.toThrow(/range is outside/);
    await stored.close();
  });

  test('is read once if its digest is known, and not at all if it is there', async () => {
    const bytes = noise(MIB + 7, 5);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const source = new CountingSource('x', bytes);
    await putFile(store, source, { sha256 });
    expect(source.bytesRead).toBe(bytes.length);
    const { writtenBytes } = store.traffic;
    await putFile(store, source, { sha256 });
    expect(source.bytesRead).toBe(bytes.length);
    await store.remove(`files/${sha256}.sums`);
    await putFile(store, source, { sha256 });
    expect(source.bytesRead).toBe(2 * bytes.length);
    expect(store.traffic.writtenBytes - writtenBytes).toBeLessThan(300);
    const stored = await openStoredFile(store, { sha256, bytes: bytes.length, name: 'x' });
    expect(await stored.read(5, 1000)).toEqual(bytes.slice(5, 1000));
  });

  test('that is changed while being read, or is not the one that was meant, is not written', async () => {
    const bytes = noise(2 * MIB, 6);
    const source = new CountingSource('x', bytes);
    const sha256 = '0'.repeat(64);
    expect((await refusal(putFile(store, source, { sha256 }))).message).toBe(
      'x: was changed while being read',
    );
    expect(await store.size(`files/${sha256}`)).toBeUndefined();
    const work = putFile(store, source, {
      onProgress: ({ stage, done }) => {
        if (stage === 'hashing x' && done === bytes.length) bytes[0]! ^= 1;
      },
    });
    expect((await refusal(work)).message).toBe('x: was changed while being read');
    expect((await refusal(putFile(store, source, { sha256: '../x' }))).message).toMatch(/expected a SHA-256/);
  });

  test('reports progress, and ends with the reason of a signal', async () => {
    const bytes = noise(9 * MIB, 7);
    const seen: [string, number][] = [];
    const source = new CountingSource('x', bytes);
    await putFile(store, source, { onProgress: ({ stage, done }) => seen.push([stage, done]) });
    expect(seen).toEqual([
      ['hashing x', 8 * MIB],
      ['hashing x', 9 * MIB],
      ['uploading x', 8 * MIB],
      ['uploading x', 9 * MIB],
    ]);
    const stop = new AbortController();
    const other = new CountingSource('y', noise(9 * MIB, 8));
    const work = putFile(store, other, {
      signal: stop.signal,
      onProgress: ({ stage }) => stage === 'uploading y' && stop.abort(new Error('enough')),
    });
    await expect(work).rejects.toThrow('enough');
  });

  test('is read in any ranges', async () => {
    const bytes = noise(3 * MIB + 123, 9);
    const stored = await openStoredFile(store, await putFile(store, new CountingSource('x', bytes)));
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length), fc.nat(bytes.length), async (a, b) => {
        const [start, end] = [Math.min(a, b), Math.max(a, b)];
        expect(await stored.read(start, end)).toEqual(bytes.slice(start, end));
        const near = Math.min(bytes.length, start + 100);
        expect(await stored.read(start, near)).toEqual(bytes.slice(start, near));
      }),
      { numRuns: 25, seed: 10 },
    );
  });

  test('of another length than it says is refused', async () => {
    const file = await putFile(store, new CountingSource('x', noise(1000, 11)));
    await expect(openStoredFile(store, { ...file, bytes: 1001 })).rejects.toThrow(IntegrityError);
    await expect(openStoredFile(store, { ...file, sha256: 'x' })).rejects.toThrow(/expected a SHA-256/);
    const missing = await refusal(openStoredFile(store, { ...file, sha256: 'f'.repeat(64) }));
    expect(missing.message).toMatch(/files\/f{64}\.sums: no such object$/);
  });
});

describe('a file in a store', () => {
  async function put(
    length: number,
  ): Promise<{ place: string; store: Store; file: StoredFile; path: string }> {
    const place = folder();
    const store = await openStore(place);
    const file = await putFile(store, new CountingSource('model.bin', noise(length)));
    return { place, store, file, path: join(place, 'files', file.sha256) };
  }

  test('that is damaged is refused by its name and the range, and only there', async () => {
    const { place, store, file, path } = await put(3 * MIB + 10);
    const good = readFileSync(path);
    for (const [at, start, end] of [
      [0, 0, MIB],
      [MIB - 1, 0, MIB],
      [MIB, MIB, 2 * MIB],
      [3 * MIB + 9, 3 * MIB, 3 * MIB + 10],
    ] as const) {
      const bytes = Buffer.from(good);
      bytes[at]! ^= 4;
      writeFileSync(path, bytes);
      const stored = await openStoredFile(store, file);
      const error = await refusal(stored.read(0, file.bytes));
      expect(error).toBeInstanceOf(IntegrityError);
      expect(error.message).toBe(
        `model.bin, bytes ${start}-${end}: damaged in ${place}: the checksum differs`,
      );
      const other = at >= 2 * MIB ? 0 : 2 * MIB;
      expect(Buffer.from(await stored.read(other, other + 50))).toEqual(good.subarray(other, other + 50));
    }
  });

  test('that is cut, or whose checksums are damaged, is refused', async () => {
    const { store, file, path } = await put(2 * MIB);
    truncateSync(path, 2 * MIB - 1);
    const stored = await openStoredFile(store, file);
    expect((await refusal(stored.read(MIB, 2 * MIB))).message).toMatch(/range is outside/);
    expect((await refusal(putFile(store, new CountingSource('x', noise(2 * MIB))))).message).toMatch(
      /damaged: expected 2097152 bytes, found 2097151$/,
    );
    const sums = readFileSync(`${path}.sums`);
    sums[sums.length - 12]! ^= 1;
    writeFileSync(`${path}.sums`, sums);
    expect(await refusal(openStoredFile(store, file))).toBeInstanceOf(IntegrityError);
  });

  test('is read in pieces of 8 MiB, four at a time, and the last block is read once', async () => {
    const { store, file } = await put(50 * MIB + 1);
    let [now, most] = [0, 0];
    const ranges: [number, number][] = [];
    const counting = Object.assign(Object.create(store) as Store, {
      async read(key: string, start: number, end: number) {
        if (!key.endsWith('.sums')) ranges.push([start / MIB, end / MIB]);
        most = Math.max(most, ++now);
        await new Promise(setImmediate);
        return store.read(key, start, end).finally(() => now--);
      },
    });
    const stored = await openStoredFile(counting, file);
    await stored.read(MIB / 2, 45 * MIB + 5);
    expect(ranges.sort((a, b) => a[0] - b[0])).toEqual([
      [0, 8],
      [8, 16],
      [16, 24],
      [24, 32],
      [32, 40],
      [40, 46],
    ]);
    expect(most).toBe(4);
    ranges.length = 0;
    await stored.read(45 * MIB + 5, 45 * MIB + 50);
    expect(ranges).toEqual([]);
    await stored.read(45 * MIB + 50, 46 * MIB + 1);
    expect(ranges).toEqual([[46, 47]]);
  });
});
