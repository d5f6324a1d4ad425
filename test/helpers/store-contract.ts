import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Store, StoredObject } from '../../src/stores/store.js';

export const bytesOf = (text: string) => new TextEncoder().encode(text);
export const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Names that lead out of a store, or are none. */
export const HOSTILE_KEYS = [
  '',
  '/',
  'a/',
  '/a',
  'a//b',
  '.',
  '..',
  '../a',
  'a/../b',
  'a/..',
  './a',
  'a/./b',
  'a\\b',
  '..\\a',
  'C:\\a',
  'a b',
  'a\0',
  'a\n',
  'a%2e%2e/b',
  'ä',
  'a?b',
  'a#b',
  'a:b',
  'a.partial',
  'a.partial/b',
  'x'.repeat(201),
  'x/'.repeat(400),
];

export async function all(objects: AsyncIterable<StoredObject>): Promise<[key: string, bytes: number][]> {
  const found: [string, number][] = [];
  for await (const { key, bytes } of objects) found.push([key, bytes]);
  return found.sort();
}

/** The error of what is refused: one line, and none of this program's own. */
export async function refusal(work: Promise<unknown>): Promise<Error> {
  const error = await work.then(
    () => undefined,
    (error) => error,
  );
  expect(error?.name).toMatch(/^(Input|Connection|Integrity)Error$/);
  expect(error.message).not.toContain('\n');
  return error;
}

/** Random pieces in one memory, which is written over as soon as the next piece is asked for. */
function* reused(pieces: readonly Uint8Array[]): Generator<Uint8Array> {
  const memory = new Uint8Array(Math.max(0, ...pieces.map(({ length }) => length)));
  for (const piece of pieces) {
    memory.set(piece);
    yield memory.subarray(0, piece.length);
    memory.fill(0xaa);
  }
}

/** What every store does. @param open is called once, for an empty store. @param runs of properties */
export function storeContract(open: () => Promise<Store>, runs = 30): void {
  let store: Store;
  let count = 0;
  const fresh = () => `fresh/${++count}`;
  beforeAll(async () => {
    store = await open();
  });
  afterAll(() => store.close());

  test('opened, it is empty, and nothing was moved', async () => {
    expect(await all(store.list(''))).toEqual([]);
    expect(store.traffic).toEqual({ readBytes: 0, writtenBytes: 0 });
  });

  test('an object is written once, read whole and in ranges, and removed', async () => {
    const key = fresh();
    const before = { ...store.traffic };
    expect(await store.size(key)).toBeUndefined();
    expect(await store.write(key, [bytesOf('hello '), bytesOf('world')])).toBe(true);
    expect(await store.size(key)).toBe(11);
    expect(textOf(await store.read(key))).toBe('hello world');
    expect(textOf(await store.read(key, 6))).toBe('world');
    expect(textOf(await store.read(key, 0, 5))).toBe('hello');
    expect(textOf(await store.read(key, 4, 7))).toBe('o w');
    expect(textOf(await store.read(key, 11))).toBe('');
    expect(textOf(await store.read(key, 3, 3))).toBe('');
    expect(store.traffic).toEqual({
      readBytes: before.readBytes + 24,
      writtenBytes: before.writtenBytes + 11,
    });
    expect(await store.write(key, [bytesOf('another')])).toBe(false);
    expect(textOf(await store.read(key))).toBe('hello world');
    await store.remove(key);
    expect(await store.size(key)).toBeUndefined();
    await store.remove(key);
    expect(await store.write(key, [bytesOf('another')])).toBe(true);
    expect(textOf(await store.read(key))).toBe('another');
  });

  test('what is read belongs to the caller', async () => {
    const key = fresh();
    await store.write(key, [bytesOf('abc')]);
    (await store.read(key)).fill(0);
    expect(textOf(await store.read(key))).toBe('abc');
  });

  test('an object may be empty', async () => {
    for (const pieces of [[], [new Uint8Array()]]) {
      const key = fresh();
      expect(await store.write(key, pieces)).toBe(true);
      expect(await store.size(key)).toBe(0);
      expect(await store.read(key)).toEqual(new Uint8Array());
    }
  });

  test('what is not there, or not as long, is refused by its name', async () => {
    const key = fresh();
    expect((await refusal(store.read(key))).message).toMatch(/fresh\/\d+: no such object$/);
    expect((await refusal(store.read(key, 1))).message).toMatch(/: no such object$/);
    expect((await refusal(store.read(key, 1, 2))).message).toMatch(/: no such object$/);
    expect((await refusal(store.read(key, 1, 1))).message).toMatch(/: no such object$/);
    await store.write(key, [bytesOf('0123456789')]);
    for (const [start, end] of [
      [0, 11],
      [9, 12],
      [10, 11],
      [20, 30],
      [11, 11],
      [5, 4],
      [-1, 4],
      [-4, -1],
      [11, undefined],
    ] as const)
      expect((await refusal(store.read(key, start, end))).message).toMatch(
        /range is outside the (10 )?bytes/,
      );
  });

  test('refuses keys that lead out of it, or are none', async () => {
    let asked = 0;
    function* pieces() {
      asked++;
      yield new Uint8Array(1);
    }
    for (const key of HOSTILE_KEYS) {
      const works = [store.size(key), store.read(key), store.write(key, pieces()), store.remove(key)];
      for (const work of works as Promise<unknown>[])
        expect((await refusal(work)).message, key).toMatch(/^not the name of an object: /);
    }
    expect(asked).toBe(0);
  });

  test('refuses prefixes that no key has', async () => {
    for (const prefix of ['/', '../', 'a/../b', '//', 'a b', 'a.partial/'])
      expect((await refusal(all(store.list(prefix)))).message, prefix).toMatch(
        /^not the start of an object's name: /,
      );
  });

  test('lists what starts with a prefix', async () => {
    const part = fc.stringMatching(/^[ab.]{1,3}$/).filter((text) => text !== '.' && text !== '..');
    const keys = fc.uniqueArray(fc.array(part, { minLength: 1, maxLength: 3 }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(keys, fc.stringMatching(/^[ab/]{0,4}$/), async (parts, end) => {
        const root = `${fresh()}/`;
        // a folder cannot have the name of a file beside it
        const names = parts.map((each) => `${each.join('/')}.${each.length}`);
        const written = names.filter((name) => !names.some((other) => other.startsWith(`${name}/`)));
        for (const name of written) await store.write(root + name, [bytesOf(name)]);
        const prefix = root + end;
        if (end.includes('//') || end.startsWith('/')) return void (await refusal(all(store.list(prefix))));
        const expected = written.filter((name) => (root + name).startsWith(prefix));
        expect(await all(store.list(prefix))).toEqual(
          expected.map((name) => [root + name, name.length]).sort(),
        );
      }),
      { numRuns: runs, seed: 1 },
    );
  });

  test('pieces of any length become one object, although their memory is used again', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }), async (pieces) => {
        const key = fresh();
        const whole = new Uint8Array(Buffer.concat(pieces));
        await store.write(key, reused(pieces), undefined, whole.length);
        expect(new Uint8Array(await store.read(key))).toEqual(whole);
      }),
      { numRuns: runs, seed: 2 },
    );
  });

  test('of many writers at the same time one is first, and its object stays whole', async () => {
    for (let round = 0; round < 5; round++) {
      const key = fresh();
      const contents = Array.from({ length: 6 }, (_, i) => String(i).repeat(5000));
      const results = await Promise.all(
        contents.map((text) => store.write(key, [bytesOf(text.slice(0, 10)), bytesOf(text.slice(10))])),
      );
      const read = textOf(await store.read(key));
      expect(contents).toContain(read);
      expect(results[contents.indexOf(read)]).toBe(true);
      expect(results.filter(Boolean)).toHaveLength(1);
    }
  });

  test('what fails while pieces are made leaves nothing, and the error comes through', async () => {
    const key = fresh();
    async function* failing() {
      yield bytesOf('some');
      throw new RangeError('not so');
    }
    await expect(store.write(key, failing())).rejects.toThrow(RangeError);
    expect(await store.size(key)).toBeUndefined();
    expect(await all(store.list(key))).toEqual([]);
  });

  test('ends with the reason of a signal, and leaves nothing', async () => {
    const key = fresh();
    const reason = new Error('enough');
    const aborted = AbortSignal.abort(reason);
    await expect(store.size(key, aborted)).rejects.toBe(reason);
    await expect(store.read(key, 0, 1, aborted)).rejects.toBe(reason);
    await expect(store.write(key, [bytesOf('a')], aborted)).rejects.toBe(reason);
    const later = new AbortController();
    function* pieces() {
      yield bytesOf('a');
      later.abort(reason);
      yield bytesOf('b');
    }
    await expect(store.write(key, pieces(), later.signal)).rejects.toBe(reason);
    expect(await store.size(key)).toBeUndefined();
  });
}
