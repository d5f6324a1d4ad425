import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { auditSource } from '../src/audit/source.js';
import * as web from '../src/browser/index.js';
import type { Dtype } from '../src/core/dtype.js';
import { isInputError } from '../src/core/errors.js';
import {
  auditFile,
  compress,
  type DecompressOptions,
  decompress,
  inspect,
  open,
  serve,
  verify,
} from '../src/index.js';
import { openFile } from '../src/io/node/file.js';
import { Base } from '../src/wpk/base.js';
import { complaint, weightpress } from './helpers/cli.js';
import { damage } from './helpers/damage.js';
import { u64, withDirectory } from './helpers/directory.js';
import { TINY } from './helpers/fixtures.js';
import { sha256 } from './helpers/hub-server.js';
import { leaveBehind, leftovers } from './helpers/leftovers.js';
import { narrow } from './helpers/models.js';
import { CHANGES } from './helpers/pairs.js';
import { f32, folder, safetensors, seededRandom, type TestTensor } from './helpers/safetensors.js';
import { embeddingFolder, word } from './helpers/sentences.js';

// Files that are stored as differences from a base: how the base is matched, found, checked and missed.

const place = folder();
const at = (...names: string[]) => join(place, ...names);
const quick = { threads: 0 } as const;

/** Digests of all files of a folder. */
const digests = (path: string) =>
  Object.fromEntries(
    readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name, parentPath }) => [
        join(parentPath, name).slice(path.length),
        sha256(readFileSync(join(parentPath, name))),
      ]),
  );

/** The tensors of a safetensors file, whose data can be changed. */
function tensorsOf(bytes: Buffer): TestTensor[] {
  const start = 8 + Number(bytes.readBigUInt64LE());
  const { __metadata__, ...header } = JSON.parse(bytes.toString('utf8', 8, start));
  return Object.entries(
    header as Record<string, { dtype: string; shape: number[]; data_offsets: number[] }>,
  ).map(
    ([
      name,
      {
        dtype,
        shape,
        data_offsets: [from, to],
      },
    ]) => ({
      ...{ name, dtype, shape },
      data: new Uint8Array(bytes.subarray(start + from!, start + to!)),
    }),
  );
}

/** Bf16 weights, and the same as f32. */
function weights(seed: number, rows: number, columns = 64) {
  const random = seededRandom(seed);
  const values = Float32Array.from({ length: rows * columns }, () => (random() + random() - 1) / 50);
  const { narrowed, widened } = narrow(values, 'BF16');
  return {
    shape: [rows, columns],
    bf16: narrowed,
    f32: new Uint8Array(widened.buffer),
    f16: narrow(widened, 'F16').narrowed,
  };
}
const changed = (bytes: Uint8Array, width = 2, seed = 5) =>
  CHANGES['steps of one']!(seededRandom(seed), bytes, width);
const bf16 = (name: string, shape: readonly number[], data: Uint8Array): TestTensor => ({
  name,
  dtype: 'BF16',
  shape,
  data,
});

/** Writes a folder with these tensors. */
function model(
  name: string,
  tensors: readonly TestTensor[],
  files: Readonly<Record<string, string>> = {},
): string {
  rmSync(at(name), { recursive: true, force: true });
  mkdirSync(at(name), { recursive: true });
  writeFileSync(at(name, 'model.safetensors'), safetensors(tensors));
  for (const [file, text] of Object.entries(files)) writeFileSync(at(name, file), text);
  return at(name);
}

/** What a promise is refused with. */
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => ({ message: 'not refused', code: undefined }),
    (error) => {
      if (!isInputError(error)) throw error;
      return { message: error.message, code: error.code };
    },
  );

/** Restores a file, and expects the bytes of the folder. */
async function expectRestored(wpk: string, original: string, base?: DecompressOptions['base'], threads = 0) {
  const out = join(folder(), 'out');
  await decompress(wpk, out, { base, threads });
  expect(digests(out)).toEqual(digests(original));
}

const w = weights(1, 40);
const v = weights(2, 30);
/** A small pair: `small` is the base of `tuned`. */
const SMALL = [
  bf16('a', w.shape, w.bf16),
  bf16('b', v.shape, v.bf16),
  f32('norm', [64], new Array(64).fill(1)),
];
const TUNED = [
  bf16('a', w.shape, changed(w.bf16)),
  bf16('b', v.shape, v.bf16),
  f32('norm', [64], new Array(64).fill(1.01)),
];

beforeAll(async () => {
  const tensors = tensorsOf(readFileSync(join(TINY, 'model.safetensors')));
  model('tiny', tensors, { 'config.json': '{}' });
  const random = seededRandom(7);
  const tuned = tensors.map((tensor, i) =>
    i % 4 === 1 ? tensor : { ...tensor, data: CHANGES.steps!(random, tensor.data, 2) },
  );
  model('tiny-tuned', tuned, { 'config.json': '{"model_type":"gpt_neo"}', 'notes.txt': 'notes' });
  await compress(at('tiny-tuned'), at('tiny-tuned.wpk'), { base: at('tiny'), threads: 2 });
  await compress(at('tiny'), at('tiny.wpk'), quick);
  model('small', SMALL);
  model('tuned', TUNED, { 'config.json': '{"model_type":"test"}' });
  await compress(at('small'), at('small.wpk'), quick);
  await compress(at('tuned'), at('tuned.wpk'), { ...quick, base: at('small') });
});

describe('a fine-tune of the bundled model', () => {
  it('takes a fraction of what it takes alone', async () => {
    const { tensorBytes, fileBytes } = await inspect(at('tiny-tuned.wpk'));
    expect(fileBytes / tensorBytes).toBeLessThan(0.4);
  });

  it('comes back with its base as a folder, as a .wpk, and as an opened model', async () => {
    const wpk = join(folder({ 'x.wpk': readFileSync(at('tiny-tuned.wpk')) }), 'x.wpk');
    for (const threads of [0, 2])
      for (const base of [at('tiny'), at('tiny.wpk')])
        await expectRestored(wpk, at('tiny-tuned'), base, threads);
    const base = await open(at('tiny'));
    await expectRestored(wpk, at('tiny-tuned'), base);
    await base.readTensor(base.tensors[0]!.name); // it is left open
    await base.close();
  });

  it('comes back with its base beside it: a folder or a .wpk, there or above', async () => {
    const tuned = readFileSync(at('tiny-tuned.wpk'));
    const small = readFileSync(at('tiny.wpk'));
    for (const [wpk, base] of [
      ['x.wpk', 'tiny.wpk'],
      ['in/x.wpk', 'tiny.wpk'],
      ['x.wpk', 'tiny/model.safetensors'],
    ]) {
      const bytes = base === 'tiny.wpk' ? small : readFileSync(at('tiny/model.safetensors'));
      const path = folder({ [wpk!]: tuned, [base!]: bytes });
      await expectRestored(join(path, wpk!), at('tiny-tuned'));
    }
  });

  it('is the same file with any number of threads, from a base in any form of that name', async () => {
    const expected = sha256(readFileSync(at('tiny-tuned.wpk')));
    for (const threads of [0, 1])
      for (const base of [at('tiny'), at('tiny.wpk')]) {
        await compress(at('tiny-tuned'), at('again.wpk'), { base, threads, force: true });
        expect(sha256(readFileSync(at('again.wpk')))).toBe(expected);
      }
    const base = await open(at('tiny'));
    await compress(at('tiny-tuned'), at('again.wpk'), { base, threads: 2, force: true });
    await base.readTensor(base.tensors[0]!.name); // it is left open
    await base.close();
    expect(sha256(readFileSync(at('again.wpk')))).toBe(expected);
  });

  it('is read by ranges', async () => {
    const [original, stored] = [await open(at('tiny-tuned')), await open(at('tiny-tuned.wpk'))];
    for (const { name, lengthBytes } of original.tensors.filter((_, i) => i % 5 === 0))
      for (const [start, end] of [
        [0, lengthBytes],
        [lengthBytes >> 1, (lengthBytes >> 1) + 14],
        [lengthBytes - 1, lengthBytes],
      ] as const)
        expect(sha256(await stored.readTensor(name, start, end))).toBe(
          sha256(await original.readTensor(name, start, end)),
        );
    await Promise.all([original.close(), stored.close()]);
  });

  it('is verified, alone and against the original', async () => {
    for (const threads of [0, 2])
      expect(await verify(at('tiny-tuned.wpk'), { threads, against: at('tiny-tuned') })).toMatchObject({
        ...{ good: true, bitExact: true, problems: [] },
      });
    expect(await verify(at('tiny-tuned.wpk'), { ...quick, against: at('tiny') })).toMatchObject({
      good: false,
    });
  });

  it('is inspected without the base, which is shown', async () => {
    const path = join(folder({ 'x.wpk': readFileSync(at('tiny-tuned.wpk')) }), 'x.wpk');
    const { base, fileBytes, rows } = await inspect(path);
    expect(base).toEqual({ name: 'tiny', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(rows.reduce((sum, row) => sum + row.compressedBytes, 0)).toBe(fileBytes);
    const { stdout, status } = weightpress('inspect', path);
    expect(status).toBe(0);
    expect(stdout).toContain(
      `stored as differences from tiny (digest ${base!.sha256.slice(0, 16)}), which it needs, and whose bytes are not counted`,
    );
    expect((await inspect(at('tiny.wpk'))).base).toBeUndefined();
  });

  it('is served, and opened in a page', async () => {
    const path = folder({
      'tuned.wpk': readFileSync(at('tuned.wpk')),
      'small.wpk': readFileSync(at('small.wpk')),
    });
    const serving = await serve(path, { port: 0, threads: 0 });
    try {
      const response = await fetch(`${serving.url}/tuned/resolve/main/model.safetensors`);
      expect(sha256(new Uint8Array(await response.arrayBuffer()))).toBe(
        sha256(readFileSync(at('tuned/model.safetensors'))),
      );
    } finally {
      await serving.close();
    }
    const blobOf = (name: string) => new Blob([readFileSync(at(name)) as Uint8Array<ArrayBuffer>]);
    const read = async (options: web.OpenOptions) => {
      await using opened = await web.open(blobOf('tuned.wpk'), options);
      const found: Record<string, string> = {};
      for await (const { name, bytes } of opened.all()) found[name] = sha256(bytes);
      for (const { name } of opened.tensors) expect(sha256(await opened.readTensor(name))).toBe(found[name]);
      return found;
    };
    const expected = Object.fromEntries(TUNED.map(({ name, data }) => [name, sha256(data)]));
    expect(await read({ base: blobOf('small.wpk') })).toEqual(expected);
    const base = await web.open(blobOf('small.wpk'));
    expect(await read({ base })).toEqual(expected);
    expect(sha256(await base.readTensor('a'))).toBe(sha256(w.bf16)); // it is left open
    expect((await refusal(read({}))).code).toBe('needs-base');
    expect((await refusal(read({ base: blobOf('tiny.wpk') }))).code).toBe('needs-base');
    expect((await refusal(read({ base: blobOf('tuned.wpk') }))).message).toMatch(
      /has a base itself, "small"/,
    );
    await base.close();
  });
});

describe('which tensor of the base is meant', () => {
  const longer = weights(3, 50);
  const others = weights(4, 40, 32);
  const half = changed(w.bf16);
  const cases: [string, base: TestTensor[], tuned: TestTensor[], expected: (string | undefined)[]][] = [
    ['the one of its name', [bf16('a', w.shape, w.bf16)], [bf16('a', w.shape, half)], ['a']],
    [
      'one with fewer rows: a vocabulary that grew',
      [bf16('e', w.shape, w.bf16)],
      [bf16('e', [50, 64], Uint8Array.from([...half, ...longer.bf16.subarray(half.length)]))],
      ['e'],
    ],
    [
      'one with more rows: a vocabulary that shrank',
      [bf16('e', w.shape, w.bf16)],
      [bf16('e', [33, 64], half.subarray(0, 33 * 128))],
      ['e'],
    ],
    ...[
      'model.',
      'module.',
      'base_model.model.',
      'base_model.model.model.',
      '_orig_mod.',
      'transformer.',
    ].flatMap((prefix): typeof cases => [
      [
        `one without the prefix ${prefix}`,
        [bf16('l.a', w.shape, w.bf16)],
        [bf16(`${prefix}l.a`, w.shape, half)],
        ['l.a'],
      ],
      [
        `one with the prefix ${prefix}`,
        [bf16(`${prefix}l.a`, w.shape, w.bf16)],
        [bf16('l.a', w.shape, half)],
        [`${prefix}l.a`],
      ],
    ]),
    [
      'one that an adapter wraps, but not the adapter',
      [bf16('model.l.q.weight', w.shape, w.bf16)],
      [
        bf16('base_model.model.model.l.q.base_layer.weight', w.shape, half),
        bf16('base_model.model.model.l.q.lora_A.weight', v.shape, v.bf16),
      ],
      ['model.l.q.weight', undefined],
    ],
    [
      'none of two whose names differ by prefixes only',
      [bf16('model.a', v.shape, v.bf16), bf16('module.a', w.shape, w.bf16)],
      [bf16('a', w.shape, half)],
      [undefined],
    ],
    [
      'none of another row length',
      [bf16('a', others.shape, others.bf16)],
      [bf16('a', w.shape, half)],
      [undefined],
    ],
    ['none with other dimensions', [bf16('a', [40, 8, 8], w.bf16)], [bf16('a', w.shape, half)], [undefined]],
    [
      'none of another kind',
      [{ name: 'a', dtype: 'I16', shape: w.shape, data: w.bf16 }],
      [bf16('a', w.shape, half)],
      [undefined],
    ],
    [
      'none that it does not have',
      [bf16('b', v.shape, v.bf16)],
      [bf16('a', w.shape, half), bf16('b', v.shape, v.bf16)],
      [undefined, 'b'],
    ],
    [
      'f32 of a bf16 fine-tune',
      [{ name: 'a', dtype: 'F32', shape: w.shape, data: w.f32 }],
      [bf16('a', w.shape, half)],
      ['a'],
    ],
    [
      'bf16 of an f32 fine-tune',
      [bf16('a', w.shape, w.bf16)],
      [{ name: 'a', dtype: 'F32', shape: w.shape, data: changed(w.f32, 4) }],
      ['a'],
    ],
    [
      'f32 of an f16 fine-tune',
      [{ name: 'a', dtype: 'F32', shape: w.shape, data: w.f32 }],
      [{ name: 'a', dtype: 'F16', shape: w.shape, data: changed(w.f16) }],
      ['a'],
    ],
    [
      'f16 of a bf16 fine-tune',
      [{ name: 'a', dtype: 'F16', shape: w.shape, data: w.f16 }],
      [bf16('a', w.shape, half)],
      ['a'],
    ],
    [
      'for a tied tensor, that of the one that is stored',
      [bf16('a', w.shape, w.bf16), bf16('head', w.shape, w.bf16)],
      [bf16('a', w.shape, half), bf16('head', w.shape, half)],
      ['a', 'a'],
    ],
    [
      'none for one that is short without',
      [bf16('a', w.shape, w.bf16)],
      [bf16('a', w.shape, new Uint8Array(w.bf16.length))],
      [undefined],
    ],
    [
      'a scalar and an empty one',
      [f32('s', [], [1]), bf16('n', [0, 3], new Uint8Array())],
      [f32('s', [], [1]), bf16('n', [0, 3], new Uint8Array())],
      ['s', undefined],
    ],
  ];

  it.each(cases)('%s', async (_, base, tuned, expected) => {
    const [known, own] = [model('m-base', base), model('m-tuned', tuned)];
    await compress(known, at('m-base.wpk'), { ...quick, force: true });
    for (const from of [known, at('m-base.wpk')]) {
      await compress(own, at('m.wpk'), { ...quick, base: from, force: true });
      await expectRestored(at('m.wpk'), own, known);
      await expectRestored(at('m.wpk'), own, at('m-base.wpk'));
      expect(await verify(at('m.wpk'), { ...quick, base: from })).toMatchObject({ good: true });
      await using opened = await open(at('m.wpk'));
      const { directory } = (
        opened as unknown as { container: { directory: { tensors: { base?: { name: string } }[] } } }
      ).container;
      expect(directory.tensors.map(({ base: found }) => found?.name)).toEqual(expected);
    }
  });

  it('numbers that f16 does not have, and that are no numbers, of an f32 base', async () => {
    const values = [1e9, -1e9, 65519, 65520, Infinity, -Infinity, NaN, 1e-9, -0, 2 ** -24, 3e38];
    const many = Float32Array.from({ length: 1100 }, (_, i) => values[i % values.length]!);
    const data = new Uint8Array(
      Uint16Array.from({ length: 1100 }, (_, i) => [0x7bff, 0xfbff, 0x7bff, 0x7c00][i % 4]!).buffer,
    );
    for (const dtype of ['F16', 'BF16']) {
      const known = model('m-base', [f32('a', [1100], many)]);
      const own = model('m-tuned', [{ name: 'a', dtype, shape: [1100], data }]);
      await compress(own, at('m.wpk'), { ...quick, base: known, force: true });
      await expectRestored(at('m.wpk'), own, known);
    }
  });

  it('elements of another type are converted as the specification has it', async () => {
    const bits = (...words: number[]) => new Uint8Array(Uint32Array.from(words).buffer);
    const halves = (...words: number[]) => new Uint8Array(Uint16Array.from(words).buffer);
    const converted = async (from: string, data: Uint8Array, to: Dtype) => {
      const shape = [data.length / (from === 'F32' ? 4 : 2)];
      await using opened = await open(model('m-base', [{ name: 'a', dtype: from, shape, data }]));
      return await new Base(opened).read('a', { dtype: to, shape }, 0, shape[0]! * (to === 'F32' ? 4 : 2));
    };
    const f32 = bits(
      0x3f808000,
      0x3f818000,
      0x3f808001,
      0x80000000,
      0x7f7fffff,
      0xff7fffff,
      0x7f800000,
      0x7fc01234,
      0x7f800001,
      1,
    );
    expect(await converted('F32', f32, 'BF16')).toEqual(
      halves(0x3f80, 0x3f82, 0x3f81, 0x8000, 0x7f7f, 0xff7f, 0x7f80, 0x7fc0, 0x7f80, 0),
    );
    expect(await converted('F32', f32, 'F16')).toEqual(
      halves(0x3c04, 0x3c0c, 0x3c04, 0x8000, 0x7bff, 0xfbff, 0x7bff, 0, 0, 0),
    );
    const bf16 = halves(0x3f81, 0x8000, 0x7f80, 0xffc1, 1);
    expect(await converted('BF16', bf16, 'F32')).toEqual(
      bits(0x3f810000, 0x80000000, 0x7f800000, 0xffc10000, 0x10000),
    );
    const f16 = halves(0x3c01, 0x8000, 0x7c00, 0xfe12, 1, 0x7bff);
    expect(await converted('F16', f16, 'F32')).toEqual(
      bits(0x3f802000, 0x80000000, 0x7f800000, 0x7fc00000, 0x33800000, 0x477fe000),
    );
  });

  it('a file that needs no base says so, and is read without', async () => {
    const said = weightpress('compress', at('small'), '-o', at('m-none.wpk'), '--base', TINY, '--force');
    expect(said.stdout).toMatch(/^the file does not need the base: no tensor is shorter/m);
    const [known, own] = [
      model('m-base', [bf16('a', w.shape, w.bf16)]),
      model('m-tuned', [bf16('b', v.shape, v.bf16)]),
    ];
    await compress(own, at('m.wpk'), { ...quick, base: known, force: true });
    rmSync(known, { recursive: true });
    expect((await inspect(at('m.wpk'))).base).toBeUndefined();
    expect(await verify(at('m.wpk'), quick)).toMatchObject({ good: true });
    await expectRestored(at('m.wpk'), own);
  });

  it('does not take memory away that a model goes on using', async () => {
    const large = weights(8, 2000);
    const own = model('m-tuned', [bf16('a', large.shape, changed(large.bf16))]);
    const inner = await open(model('m-base', [bf16('a', large.shape, large.bf16)]));
    const held = Uint8Array.from([0, 0, ...large.bf16]);
    const readTensor = async (_: string, start = 0, end = large.bf16.length) =>
      held.subarray(2 + start, 2 + end);
    const base = Object.assign(Object.create(inner), { readTensor });
    await compress(own, at('m.wpk'), { base, threads: 1, force: true });
    await decompress(at('m.wpk'), at('m-out'), { base, threads: 1, force: true });
    expect(digests(at('m-out'))).toEqual(digests(own));
    expect(sha256(held.subarray(2))).toBe(sha256(large.bf16));
    await inner.close();
  });
});

describe('another base, or none, is refused in one line, and nothing is written', () => {
  const wrong = (tensors: TestTensor[]) => model('wrong', tensors);
  /** Restoring, verifying and reading with a base. */
  async function refusals(base: string | undefined) {
    const path = join(folder({ 'x.wpk': readFileSync(at('tuned.wpk')) }), 'x.wpk');
    const out = join(folder(), 'out');
    const said = await refusal(decompress(path, out, { ...quick, base }));
    expect(said.message.startsWith(base ?? path)).toBe(true);
    expect(existsSync(out)).toBe(false);
    expect(await refusal(verify(path, { ...quick, base }))).toEqual(said);
    const reading = open(path, { base }).then(async (opened) => {
      await opened.readTensor('a').finally(() => opened.close());
    });
    expect((await refusal(reading)).code).toBe(said.code);
    return said;
  }

  it('none', async () => {
    const said = await refusals(undefined);
    expect(said.code).toBe('needs-base');
    expect(said.message).toMatch(/x\.wpk: is stored as differences from "small", which is not beside it$/);
  });

  it('one that is not there', async () => {
    expect((await refusals(at('absent'))).message).toBe(`${at('absent')}: no such file or directory`);
  });

  it('one with other content: a folder, and a .wpk', async () => {
    const path = wrong([bf16('a', w.shape, changed(w.bf16, 2, 9)), ...SMALL.slice(1)]);
    const said = await refusals(path);
    expect(said.code).toBe('needs-base');
    expect(said.message).toMatch(
      /wrong, tensor "a": is not the base of .*x\.wpk: that is "small", with digest [0-9a-f]{16}$/,
    );
    await compress(path, at('wrong.wpk'), { ...quick, force: true });
    expect((await refusals(at('wrong.wpk'))).message).toMatch(/wrong\.wpk, tensor "a": is not the base of /);
    // its digests show it, whatever is read
    const reading = async (base: string) => {
      await using opened = await open(at('tuned.wpk'), { base });
      return await opened.readTensor('b');
    };
    expect(await reading(path)).toEqual(v.bf16);
    expect((await refusal(reading(at('wrong.wpk')))).code).toBe('needs-base');
  });

  it.each<[string, TestTensor[]]>([
    ['without a tensor', SMALL.slice(1)],
    ['with a tensor of other rows', [bf16('a', [64, 40], w.bf16), ...SMALL.slice(1)]],
    ['with a tensor of other dimensions', [bf16('a', [40 * 64], w.bf16), ...SMALL.slice(1)]],
    ['with fewer rows', [bf16('a', [39, 64], w.bf16.subarray(128)), ...SMALL.slice(1)]],
    ['of integers', [{ name: 'a', dtype: 'I16', shape: w.shape, data: w.bf16 }, ...SMALL.slice(1)]],
  ])('one %s', async (_, tensors) => {
    const said = await refusals(wrong(tensors));
    expect(said.code).toBe('needs-base');
    expect(said.message).toMatch(/wrong, tensor "a": is not the base of .*: that is "small"/);
  });

  it('one that is a difference itself: when compressing, and when reading', async () => {
    const message = `${at('tuned.wpk')}: has a base itself, "small"; a base must be complete`;
    const compressing = compress(at('tuned'), at('chain.wpk'), { ...quick, base: at('tuned.wpk') });
    expect((await refusal(compressing)).message).toBe(message);
    expect([existsSync(at('chain.wpk')), leftovers(at('chain.wpk'))]).toEqual([false, []]);
    expect((await refusals(at('tuned.wpk'))).message).toBe(message);
  });

  it('one that is no model', async () => {
    mkdirSync(at('nothing'), { recursive: true });
    expect((await refusals(at('nothing'))).message).toMatch(/nothing: has no files/);
  });

  it('by the command line, with exit code 2 and what to do', () => {
    const path = join(folder({ 'x.wpk': readFileSync(at('tuned.wpk')) }), 'x.wpk');
    const out = join(folder(), 'out');
    for (const args of [
      ['decompress', path, '-o', out],
      ['verify', path],
      ['analyze', path],
    ]) {
      const said = complaint(weightpress(...args));
      expect(said).toMatchObject({ status: 2, lines: 1, stack: false });
      expect(said.message).toMatch(
        /is stored as differences from "small", which is not beside it; name the base with --base$/,
      );
    }
    expect(existsSync(out)).toBe(false);
    expect(weightpress('decompress', path, '-o', out, '--base', at('small')).stderr).toBe('');
    expect(digests(out)).toEqual(digests(at('tuned')));
    const same = complaint(
      weightpress('compress', at('tuned'), '-o', at('chain.wpk'), '--base', at('tuned.wpk')),
    );
    expect(same).toMatchObject({ status: 2, lines: 1, stack: false });
  });

  it('every command that reads weights takes --base', { tags: 'slow' }, () => {
    const embedding = embeddingFolder('st_dense');
    const far = join(folder({ 'from/the/bases': '' }), 'from/the'); // else one is found above
    const [own, other] = [join(far, 'own.wpk'), join(far, 'other.wpk')];
    for (const [from, to] of [
      [TINY, own],
      [embedding, other],
    ] as const)
      expect(weightpress('compress', from, '-o', to, '--base', from).stderr).toBe('');
    const out = (name: string) => join(folder(), name);
    const commands: [string[], base: string][] = [
      [['decompress', own, out('x')], TINY],
      [['decompress', own, out('x'), '--format', 'safetensors'], TINY],
      [['verify', own, '--against', TINY], TINY],
      [['analyze', own], TINY],
      [['audit', own, '--against', TINY], TINY],
      [['evaluate', own, '--text', 'examples/held-out.txt', '--tokens', '256', '--window', '64'], TINY],
      [['generate', own, 'a', '--tokens', '1'], TINY],
      [['quantize', own, out('x.gguf'), '--to', 'Q8_0', '--names', 'checkpoint', '--no-calibration'], TINY],
      [['embed', other, word(1)], embedding],
    ];
    for (const [args, base] of commands) {
      expect(complaint(weightpress(...args)).message).toMatch(/is stored as differences from .*--base$/);
      const { status, stderr } = weightpress(...args, '--base', base);
      expect([args[0], status, stderr]).toEqual([args[0], 0, '']);
    }
  });

  it('compressing does not replace the base, and notices when it changes meanwhile', async () => {
    const before = sha256(readFileSync(at('small.wpk')));
    const replacing = compress(at('tuned'), at('small.wpk'), {
      ...quick,
      base: at('small.wpk'),
      force: true,
    });
    expect((await refusal(replacing)).message).toMatch(
      /small\.wpk: the output is the input; nothing was written$/,
    );
    expect(sha256(readFileSync(at('small.wpk')))).toBe(before);
    const path = model('moving', SMALL);
    const onProgress = () => writeFileSync(join(path, 'model.safetensors'), safetensors(TUNED));
    const moving = compress(at('tuned'), at('moved.wpk'), { ...quick, base: path, onProgress });
    expect((await refusal(moving)).message).toMatch(
      /moving\/model\.safetensors: was (changed|replaced|modified) while being read/,
    );
    expect([existsSync(at('moved.wpk')), leftovers(at('moved.wpk'))]).toEqual([false, []]);
  });
});

describe('an interrupted run', () => {
  const whole = () => readFileSync(at('tiny-tuned.wpk'));
  const output = at('resumed.wpk');
  const resume = (base: string) =>
    compress(at('tiny-tuned'), output, { base, resume: true, threads: 1, force: true });
  const clear = () => {
    for (const path of [output, ...leftovers(output)]) rmSync(path, { force: true });
  };

  it.each([0.1, 0.5, 0.9, 1])('is continued with the same base from %d of its bytes', async (share) => {
    clear();
    leaveBehind(output, whole().subarray(0, share * whole().length));
    await resume(at('tiny'));
    expect(sha256(readFileSync(output))).toBe(sha256(whole()));
    expect(leftovers(output)).toEqual([]);
  });

  it('is not continued with another base, whatever its name, or with none', async () => {
    const tensors = tensorsOf(readFileSync(at('tiny/model.safetensors')));
    const other = tensors.map((tensor, i) => (i ? tensor : { ...tensor, data: changed(tensor.data) }));
    const namesake = join(folder({ 'tiny/model.safetensors': safetensors(other) }), 'tiny');
    const partial = () => {
      clear();
      leaveBehind(output, whole().subarray(0, whole().length - 1000));
    };
    partial();
    expect(await refusal(resume(namesake))).toMatchObject({ code: 'resume-differs' });
    partial();
    expect(await refusal(resume(model('other-name', other)))).toMatchObject({ code: 'resume-differs' });
    partial();
    const without = compress(at('tiny-tuned'), output, { resume: true, threads: 0, force: true });
    expect(await refusal(without)).toMatchObject({ code: 'resume-differs' });
    expect(existsSync(output)).toBe(false);
  });
});

it('a compressed base that is damaged is named, whichever thread finds it', async () => {
  const bytes = readFileSync(at('tiny.wpk'));
  bytes[bytes.length >> 1]! ^= 1;
  const base = join(folder({ 'tiny.wpk': bytes }), 'tiny.wpk');
  for (const threads of [0, 2]) {
    const restored = decompress(at('tiny-tuned.wpk'), join(folder(), 'out'), { base, threads });
    expect((await refusal(restored)).message).toMatch(`${base}, bytes`);
  }
});

describe('damage', () => {
  const random = seededRandom(11);
  /** Restores, which gives the right files or an error. @returns the error. */
  async function attempt(wpk: string, base: string): Promise<string | undefined> {
    const out = join(folder(), 'out');
    try {
      await decompress(wpk, out, { ...quick, base });
    } catch (error) {
      if (!isInputError(error)) throw error;
      expect(error.message).not.toMatch(/\n/);
      expect(existsSync(out)).toBe(false);
      return error.message;
    }
    expect(digests(out)).toEqual(digests(at('tuned')));
    return undefined;
  }

  const ofBase = (times: number) => async (name: string) => {
    const bytes = readFileSync(at(name));
    const path = folder();
    const base = join(path, name.split('/').at(-1)!);
    let refused = 0;
    for (let i = 0; i < times; i++) {
      writeFileSync(base, damage(random, bytes, bytes));
      const message = await attempt(at('tuned.wpk'), base);
      if (!message) continue;
      refused++;
      expect(message).toContain(base);
    }
    expect(refused).toBeGreaterThan(times / 2);
  };
  const BASES = ['small.wpk', 'small/model.safetensors'];
  it.each(BASES)('of the base: %s', ofBase(30));
  it.each(BASES)('of the base, 200 times: %s', { tags: 'slow' }, ofBase(200));

  it('of the file, 200 times', async () => {
    const bytes = readFileSync(at('tuned.wpk'));
    const wpk = join(folder(), 'x.wpk');
    let refused = 0;
    for (let i = 0; i < 200; i++) {
      writeFileSync(wpk, damage(random, bytes, bytes));
      const message = await attempt(wpk, at('small'));
      if (!message) continue;
      refused++;
      expect(message).toContain(wpk);
      expect(message).not.toMatch(/is not the base/);
    }
    expect(refused).toBeGreaterThan(150);
  });
});

it('an audit finds the base, and counts what is in the file alone as no more than that', async () => {
  const { statements } = await auditFile(at('tuned.wpk'));
  expect(statements.filter(({ verdict }) => verdict === 'contradicted')).toEqual([]);
  expect(JSON.stringify(statements)).toContain('all files counted but its base, \\"small\\", which it needs');
  const alone = join(folder({ 'in/x.wpk': readFileSync(at('tuned.wpk')) }), 'in/x.wpk');
  expect((await refusal(auditFile(alone))).code).toBe('needs-base');
  expect((await auditFile(alone, undefined, at('small'))).statements).toEqual(statements);
});

it('an audit closes the base that it has opened', async () => {
  const [wpk, base] = [at('tuned.wpk'), await open(at('small'))];
  const close = vi.spyOn(base, 'close');
  await auditSource(
    await openFile(wpk),
    () => verify(wpk),
    undefined,
    async () => base,
  );
  expect(close).toHaveBeenCalled();
});

describe('a budget with a base', () => {
  it('loses less in as many bits, and is read with that base alone', { tags: 'slow' }, async () => {
    const options = { ...quick, budget: { bits: 2.5 }, calibration: false, force: true } as const;
    const errors: unknown[] = [];
    for (const base of [undefined, at('tiny')]) {
      const { weightError, base: stored } = await compress(at('tiny-tuned'), at('lossy.wpk'), {
        ...options,
        base,
      });
      expect(stored?.name).toBe(base && 'tiny');
      errors.push(weightError!.relativeSquaredError);
    }
    expect(Number(errors[1])).toBeLessThan(0.1 * Number(errors[0]));
    for (const threads of [0, 2])
      expect(await verify(at('lossy.wpk'), { threads, against: at('tiny-tuned') })).toMatchObject({
        good: true,
      });
    await decompress(at('lossy.wpk'), at('lossy'), { ...quick, base: at('tiny.wpk'), force: true });
    const alone = join(folder({ 'in/x.wpk': readFileSync(at('lossy.wpk')) }), 'in/x.wpk');
    expect((await refusal(verify(alone, quick))).code).toBe('needs-base');
    expect((await refusal(verify(alone, { ...quick, base: at('small') }))).code).toBe('needs-base');
    const other = model('other', tensorsOf(readFileSync(at('tiny-tuned/model.safetensors'))));
    expect((await refusal(verify(alone, { ...quick, base: other }))).code).toBe('needs-base');
  });

  it('a transform has none', async () => {
    const file = withDirectory(readFileSync('spec/vectors/transform-dct.wpk'), (directory) => {
      directory.base = { name: 'small', sha256: '0'.repeat(64) };
      directory.tensors[0].base = { name: 'a', sha256: '0'.repeat(64) };
    });
    const path = join(folder({ 'x.wpk': file }), 'x.wpk');
    expect((await refusal(inspect(path))).message).toMatch(/a transform has no base/);
  });
});

describe('what a directory says of its base is not trusted', () => {
  const named = (name: unknown) =>
    withDirectory(readFileSync(at('tuned.wpk')), (directory) => {
      directory.base.name = name;
    });

  it.each([
    '../small',
    '/etc',
    '..',
    '.',
    '',
    'small\0',
    'a\\b',
    'sub/small',
    'https://example.org/small.wpk',
    'someone/model',
    `someone/model@${'0'.repeat(40)}`,
    `../..@${'0'.repeat(40)}`,
    'gpt2',
    'con',
    '\u001b[31mred',
    '\u202esmall',
  ])('%j is neither opened nor fetched', async (name) => {
    const path = folder({ 'in/x.wpk': named(name), 'in/sub/small/model.safetensors': safetensors(SMALL) });
    const fetched = vi.spyOn(globalThis, 'fetch');
    const said = await refusal(decompress(join(path, 'in/x.wpk'), join(path, 'out'), quick));
    expect(fetched).not.toHaveBeenCalled();
    fetched.mockRestore();
    expect(said.code).toBe('needs-base');
    expect(said.message).toMatch(/which is not beside it$/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not reach a terminal
    expect(said.message).not.toMatch(/[\x00-\x1f\u202e]/);
    expect(existsSync(join(path, 'out'))).toBe(false);
  });

  it('a name of control characters does not reach a terminal', () => {
    const path = join(folder({ 'x.wpk': named('\u001b[31m\u202e\nred') }), 'x.wpk');
    const { stdout, stderr, status } = weightpress('inspect', path);
    expect([status, stderr]).toEqual([0, '']);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not reach a terminal
    expect(stdout).not.toMatch(/[\x00-\x09\x1b\u202e]/);
  });

  it.each<[string, (directory: { base?: unknown; tensors: { base?: unknown }[] }) => void]>([
    ['no base', (directory) => delete directory.base],
    ['a base that is no object', (directory) => (directory.base = 'small')],
    ['a base without a digest', (directory) => (directory.base = { name: 'small' })],
    ['a name that is no text', (directory) => (directory.base = { name: 7, sha256: '0'.repeat(64) })],
    ['a tensor whose base has no digest', ({ tensors }) => (tensors[0]!.base = { name: 'a' })],
    ['a tensor whose base is a text', ({ tensors }) => (tensors[0]!.base = 'a')],
  ])('%s is refused when it is opened', async (_, change) => {
    const path = join(folder({ 'x.wpk': withDirectory(readFileSync(at('tuned.wpk')), change) }), 'x.wpk');
    expect((await refusal(inspect(path))).message).toMatch(/x\.wpk.*base/);
  });

  it('a tensor that is said to have no base does not decode, nor one whose base is said to be another tensor', async () => {
    const file = readFileSync(at('tuned.wpk'));
    const without = withDirectory(file, ({ tensors }) => delete tensors[0].base);
    const other = withDirectory(file, ({ tensors }) => {
      tensors[0].base.name = 'b';
    });
    for (const bytes of [without, other]) {
      const path = join(folder({ 'x.wpk': bytes }), 'x.wpk');
      expect(
        (await refusal(decompress(path, `${path}-out`, { ...quick, base: at('small') }))).message,
      ).toMatch(/tensor "[ab]"/);
      expect(existsSync(`${path}-out`)).toBe(false);
    }
  });

  it('a file that names itself is refused, also one whose header has to be decoded to open it', async () => {
    const path = join(folder({ 'x.wpk': named('x') }), 'x.wpk');
    expect((await refusal(decompress(path, `${path}-out`, quick))).message).toMatch(
      /x\.wpk: has a base itself, "x"/,
    );
    // 2 MiB of a GGUF file's metadata, which are stored as a tensor
    const text = (value: string) => Buffer.concat([u64(BigInt(value.length)), Buffer.from(value)]);
    const u32 = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer);
    const metadata = [
      text('general.architecture'),
      u32(8),
      text('llama'),
      text('a'),
      u32(8),
      text('b'.repeat(2 ** 21)),
    ];
    const tensor = [text('w'), u32(1), u64(32n), u32(0), u64(0n), Buffer.alloc(256)];
    const front = [Buffer.from('GGUF'), u32(3), u64(1n), u64(2n)];
    const gguf = join(folder({ 'x.gguf': Buffer.concat([...front, ...metadata, ...tensor]) }), 'x.gguf');
    await compress(gguf, `${gguf}.wpk`, quick);
    const digest = '0'.repeat(64);
    const itself = withDirectory(readFileSync(`${gguf}.wpk`), (directory) => {
      directory.base = { name: 'y', sha256: digest };
      for (const own of directory.tensors) own.base = { name: own.name, sha256: digest };
    });
    const file = join(folder({ 'y.wpk': itself }), 'y.wpk');
    expect((await refusal(open(file))).message).toMatch(/y\.wpk: has a base itself, "y"/);
  });
});

it('a real fine-tune takes at most 18 % of its bytes', { tags: 'slow' }, async () => {
  const [base, tuned] = ['fixtures/models/gpt-neo-small', at('speeches')];
  await decompress(`${base}-speeches.wpk`, tuned, { base });
  await compress(tuned, at('real.wpk'), { base });
  const { fileBytesWithoutSideFiles, tensorBytes } = await inspect(at('real.wpk'));
  expect(fileBytesWithoutSideFiles / tensorBytes).toBeLessThanOrEqual(0.18);
  await expectRestored(at('real.wpk'), tuned, base);
});
