// @module-tag slow
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openStoredFile, putFile } from '../src/stores/content.js';
import { openStore } from '../src/stores/open.js';
import { TRIES } from '../src/stores/tries.js';
import { MOTO, MotoServer } from './helpers/moto.js';
import { needs } from './helpers/needs.js';
import type { Fault } from './helpers/s3-server.js';
import { CountingSource, seededRandom } from './helpers/safetensors.js';
import { all, bytesOf, refusal, storeContract, textOf } from './helpers/store-contract.js';

// Stores on a server that speaks S3 and was not written for these tests, with faults between.

const MIB = 2 ** 20;

function noise(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + seed * 1_000_003, 0x9e3779b1);
  return new Uint8Array(words.buffer, 0, length);
}

const FAULTS: readonly Fault[] = [
  { status: 500, code: 'InternalError' },
  { status: 503, code: 'SlowDown' },
  { status: 502 },
  'reset',
  'lost',
  { cutAfter: 1000 },
  { cutAfter: 300_000 },
];

describe('S3 by moto', needs(MOTO, 'moto (pip install "moto[s3]" flask flask-cors)'), () => {
  const server = new MotoServer();
  const usual = { ...TRIES };
  let restore = () => {};
  beforeAll(async () => {
    TRIES.firstWaitMs = 1;
    restore = await server.useWith('bucket');
  });
  afterAll(async () => {
    restore();
    Object.assign(TRIES, usual);
    await server.stop();
  });
  beforeEach(() => server.reset());
  afterEach(() => server.reset());

  /** Puts faults in front of a share of all requests, but not of many one after another. */
  function breakMany(share: number, seed: number): void {
    const random = seededRandom(seed);
    let inRow = 0;
    server.fault = () => {
      const isBroken = random() < share && inRow < 4;
      inRow = isBroken ? inRow + 1 : 0;
      return isBroken ? FAULTS[Math.floor(random() * FAULTS.length)] : undefined;
    };
  }

  describe('as a store', () => storeContract(() => openStore('s3://bucket/contract'), 10));

  test('a bucket that is not there is named', async () => {
    expect((await refusal(openStore('s3://missing/x'))).message).toBe(
      's3://missing/x: bucket missing does not exist',
    );
  });

  test.each([1, 2, 3])('files come back through faults, seed %i', async (seed) => {
    const store = await openStore(`s3://bucket/faults-${seed}`);
    breakMany(0.3, seed);
    const bytes = noise(26 * MIB + 17, seed);
    const file = await putFile(store, new CountingSource('model.bin', bytes));
    const stored = await openStoredFile(store, file);
    expect(await stored.read(0, file.bytes)).toEqual(bytes);
    for (let i = 0; i < 40; i++) await store.write(`small/${i}`, [bytesOf(`content ${i}`)]);
    const listed = await all(store.list('small/'));
    expect(listed).toHaveLength(40);
    for (const [key, length] of listed) expect(await store.size(key)).toBe(length);
    expect(textOf(await store.read('small/7', 8))).toBe('7');
    expect(server.asked.length).toBeGreaterThan(100);
    server.reset();
    await store.sweep(-1000); // uploads that nobody knows of, because the answer was lost
    expect(await store.sweep(-1000)).toBe(0);
    expect((await all(store.list(''))).length).toBe(42);
    await store.close();
  });

  test.each([1, 2, 3])('of two writers through faults one has written, seed %i', async (seed) => {
    const stores = await Promise.all([1, 2].map(() => openStore(`s3://bucket/writers-${seed}`)));
    breakMany(0.25, seed);
    for (const [key, length] of [
      ['small', 1000],
      ['large', 9 * MIB],
    ] as const) {
      const contents = stores.map((_, i) => noise(length, i));
      const results = await Promise.all(stores.map((store, i) => store.write(key, [contents[i]!])));
      expect(results.filter(Boolean)).toHaveLength(1);
      expect(await stores[0]!.read(key)).toEqual(contents[results.indexOf(true)]);
    }
    server.reset();
    await Promise.all(stores.map((store) => store.close()));
  });

  test('a writer that is killed leaves no object, and parts that are swept', async () => {
    const script = `
      import { openStore } from ${JSON.stringify(join(process.cwd(), 'dist/stores/open.js'))};
      const store = await openStore('s3://bucket/killed');
      async function* endless() { for (;;) yield new Uint8Array(2 ** 20); }
      await store.write('x', endless());`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
    server.fault = ({ operation }) => {
      if (operation === 'UploadPart' && server.count('UploadPart') === 3) child.kill('SIGKILL');
      return undefined;
    };
    await once(child, 'close');
    server.reset();
    const store = await openStore('s3://bucket/killed');
    expect(await store.size('x')).toBeUndefined();
    expect(await all(store.list(''))).toEqual([]);
    expect(await store.sweep(-1000)).toBe(1); // moto says of every upload that it is years old
    expect(await store.sweep(-1000)).toBe(0);
    expect(await store.write('x', [bytesOf('whole')])).toBe(true);
    expect(await all(store.list(''))).toEqual([['x', 5]]);
    await store.close();
  });
});
