import { spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { compress, decompress, inspect, open, verify } from '../src/index.js';
import { complaint, weightpress } from './helpers/cli.js';
import { needs } from './helpers/needs.js';
import { PYTHON, python } from './helpers/python.js';
import { REAL_FOLDERS } from './helpers/real-folders.js';
import { f32, folder, rawSafetensors, safetensors, seededRandom } from './helpers/safetensors.js';

/** Compresses a folder or file, and restores it. */
async function roundTrip(path: string) {
  const place = folder();
  const [wpk, restored] = [join(place, 'x.wpk'), join(place, 'restored')];
  await compress(path, wpk);
  await decompress(wpk, restored);
  return { wpk, restored };
}

/** What `diff -r` says of two folders. */
const difference = (a: string, b: string) => spawnSync('diff', ['-r', a, b], { encoding: 'utf8' }).stdout;

const weights = () => safetensors([f32('w', [64, 48], Float32Array.from({ length: 3072 }, seededRandom(1)))]);

describe('folders as people have them', needs(PYTHON, 'Python with PyTorch'), () => {
  it.each(Object.keys(REAL_FOLDERS))(
    '%s: diff -r of original and restored is empty',
    { tags: 'slow' },
    async (name) => {
      const original = folder();
      REAL_FOLDERS[name]!(original);
      const { wpk, restored } = await roundTrip(original);
      expect(difference(original, restored)).toBe('');
      expect(await verify(wpk, { against: original })).toMatchObject({
        good: true,
        bitExact: true,
        problems: [],
      });
    },
  );

  it('tensors of what is understood are coded as tensors, also the optimizer of a checkpoint', async () => {
    const original = folder();
    REAL_FOLDERS.Lightning!(original);
    const { wpk } = await roundTrip(join(original, 'last.ckpt'));
    const { tensors, weightFiles } = await inspect(wpk);
    expect(weightFiles).toMatchObject([{ name: 'last.ckpt', format: 'pytorch', note: undefined }]);
    const shapes = Object.fromEntries(tensors.map(({ name, dtype, shape }) => [name, `${dtype} ${shape}`]));
    expect(shapes).toMatchObject({
      'transformer.wte.weight': 'F32 64,32',
      'optimizer_states.0.state.0.exp_avg': 'F32 64,32',
    });
  });
});

describe('nothing is lost in silence', () => {
  it('what is left out is named on screen and in the file', async () => {
    const path = folder({
      'model.safetensors': weights(),
      'a.onnx': 'onnx',
      'onnx/b.bin': 'b',
      '.git/HEAD': 'ref',
      'c.txt': 'c',
    });
    const wpk = join(folder(), 'x.wpk');
    const { stdout, status } = weightpress(
      'compress',
      path,
      '-o',
      wpk,
      '--exclude',
      '*.onnx',
      '--exclude',
      'onnx/**',
    );
    expect(status).toBe(0);
    expect(stdout).toMatch(/left out: \.git: version control/);
    expect(stdout).toMatch(/left out: a\.onnx, 4 B: excluded by \*\.onnx/);
    const { leftOut, sideFiles } = await inspect(wpk);
    expect(leftOut.map(({ name }) => name).sort()).toEqual(['.git', 'a.onnx', 'onnx/b.bin']);
    expect(sideFiles.map(({ name }) => name)).toEqual(['c.txt']);
    expect(weightpress('inspect', wpk).stdout).toMatch(/left out: onnx\/b\.bin/);
    expect(await verify(wpk, { against: path })).toMatchObject({ good: true, bitExact: true });
  });

  it.each([
    ['out of the folder', '../outside.txt', /link\.txt: a link out of the folder, \.\.\/outside\.txt/],
    ['nowhere', 'gone.txt', /link\.txt: a dangling link, gone\.txt/],
    ['to the folder it is in', '.', /link\.txt: a link to an enclosing folder/],
  ])('a link %s is refused by name, unless it is excluded', async (_, target, message) => {
    const place = folder({ 'in/model.safetensors': weights(), 'outside.txt': 'secret' });
    symlinkSync(target, join(place, 'in/link.txt'));
    const wpk = join(place, 'x.wpk');
    const said = complaint(weightpress('compress', join(place, 'in'), '-o', wpk));
    expect(said).toMatchObject({ status: 2, lines: 1 });
    expect(said.message).toMatch(message);
    expect(weightpress('compress', join(place, 'in'), '-o', wpk, '--exclude', 'link.txt').status).toBe(0);
  });

  it('a link inside of the folder comes back as the file that it leads to', async () => {
    const path = folder({ 'model.safetensors': weights(), 'a/real.txt': 'text' });
    symlinkSync('a/real.txt', join(path, 'link.txt'));
    const { restored } = await roundTrip(path);
    expect(readFileSync(join(restored, 'link.txt'), 'utf8')).toBe('text');
  });

  it('a pipe in the folder is refused by name, at once', () => {
    const path = folder({ 'model.safetensors': weights() });
    spawnSync('mkfifo', [join(path, 'pipe')]);
    const said = complaint(weightpress('compress', path, '-o', join(folder(), 'x.wpk')));
    expect(said).toMatchObject({ status: 2, lines: 1 });
    expect(said.message).toMatch(/pipe: expected a file, found a pipe, socket or device/);
  });

  it('an output in its own folder is no part of it', async () => {
    const path = folder({ 'model.safetensors': weights() });
    const wpk = join(path, 'x.wpk');
    expect(weightpress('compress', path, '-o', wpk).status).toBe(0);
    const first = readFileSync(wpk);
    expect(weightpress('compress', path, '-o', wpk, '--force').stdout).toMatch(
      /left out: x\.wpk.*the output/,
    );
    expect((await inspect(wpk)).weightFiles.map(({ name }) => name)).toEqual(['model.safetensors']);
    expect(first.length).toBeGreaterThan(1000);
  });
});

describe('formats', () => {
  const data = (n: number) => Buffer.from(Float32Array.from({ length: n / 4 }, seededRandom(n)).buffer);
  const gap = rawSafetensors('{"w":{"dtype":"U8","shape":[4],"data_offsets":[8,12]}}', data(16));
  const cases: Record<string, Uint8Array> = {
    'holes.safetensors': gap,
    'overlap.safetensors': rawSafetensors(
      '{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":[4,12]}}',
      data(12),
    ),
    'null-metadata.safetensors': rawSafetensors(
      '{"__metadata__":null,"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
      data(8),
    ),
    'future.safetensors': rawSafetensors(
      '{"w":{"dtype":"F3_NEW","shape":[5],"data_offsets":[0,8]}}',
      data(8),
    ),
    'dims.safetensors': rawSafetensors(
      `{"w":{"dtype":"F32","shape":[${Array(65).fill(1)}],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[${Array(300).fill(1)}],"data_offsets":[4,8]}}`,
      data(8),
    ),
    'twice.safetensors': rawSafetensors('{"w":{},"w":{}}', data(8)),
    'cut.safetensors': weights().subarray(0, 5000),
    'empty.safetensors': new Uint8Array(0),
    'big-endian.gguf': Buffer.concat([Buffer.from('GGUF'), Buffer.from([0, 0, 0, 3]), data(4000)]),
    'junk.bin': Buffer.concat([Buffer.from('PK\x03\x04'), data(3_000_000)]),
    'model.onnx': Buffer.concat([Buffer.from([8, 7, 1]), data(2_000_000), Buffer.from('tail')]),
  };
  it.each(Object.keys(cases))('%s comes back, alone and in a folder', { tags: 'slow' }, async (name) => {
    const path = folder({ [name]: cases[name]! });
    for (const from of [path, join(path, name)]) {
      const { restored } = await roundTrip(from);
      expect(readFileSync(join(restored, name)).equals(cases[name]!)).toBe(true);
    }
  });

  it('floats in a file that cannot be seen into are coded as floats, however they are aligned', {
    tags: 'slow',
  }, async () => {
    const original = cases['model.onnx']!;
    const { wpk } = await roundTrip(join(folder({ 'model.onnx': original }), 'model.onnx'));
    const { tensors, fileBytes } = await inspect(wpk);
    expect(tensors).toMatchObject([{ role: 'unparsed bytes', dtype: 'F32', elements: 0 }]);
    expect(fileBytes).toBeLessThan(0.92 * original.length);
  });

  it('GGUF tensors of types that nobody knows yet are kept', async () => {
    const string = (text: string) => Buffer.concat([u64(text.length), Buffer.from(text)]);
    const tensor = (name: string, type: number, offset: number) =>
      Buffer.concat([string(name), u32(1), u64(256), u32(type), u64(offset)]);
    const [u32, u64] = [
      (n: number) => Buffer.from(Uint32Array.of(n).buffer),
      (n: number) => Buffer.from(BigUint64Array.of(BigInt(n)).buffer),
    ] as const;
    const header = Buffer.concat([
      Buffer.from('GGUF'),
      ...[u32(3), u64(3), u64(0), tensor('a', 0, 0), tensor('b', 77, 1024), tensor('c', 0, 2048)],
    ]);
    const padded = Buffer.concat([header, Buffer.alloc((32 - (header.length % 32)) % 32)]);
    const file = Buffer.concat([padded, data(3072)]);
    const { wpk, restored } = await roundTrip(join(folder({ 'new.gguf': file }), 'new.gguf'));
    expect(readFileSync(join(restored, 'new.gguf')).equals(file)).toBe(true);
    expect((await inspect(wpk)).tensors.map(({ name }) => name)).toEqual(['a', 'c']);
  });

  it('what is kept as bytes says so, with the reason', async () => {
    const path = folder({
      'model.safetensors': Buffer.concat([Buffer.from('{"w"'), data(1_500_000)]),
    });
    const wpk = join(folder(), 'x.wpk');
    expect(weightpress('compress', path, '-o', wpk).stdout).toMatch(
      /stored as bytes: model\.safetensors: .*/,
    );
    expect((await inspect(wpk)).weightFiles[0]!.note).toMatch(/\w/);
    const small = join(folder(), 'x.wpk');
    await compress(folder({ 'small.safetensors': '{"w"' }), small);
    const note = expect.stringMatching(/expected at least 8 bytes/);
    expect((await inspect(small)).weightFiles).toMatchObject([{ format: 'bytes', note }]);
  });
});

describe('verify', () => {
  it('compares every byte of every file', async () => {
    const files = { 'model.safetensors': weights(), 'config.json': '{}', 'sub/a.txt': 'a' };
    const wpk = join(folder(), 'x.wpk');
    await compress(folder(files), wpk);
    const problems = async (other: Record<string, string | Uint8Array>) =>
      (await verify(wpk, { against: folder(other) })).problems.join('\n');
    expect(await problems(files)).toBe('');
    const changed = Buffer.from(files['model.safetensors']);
    changed[changed.length - 1]! ^= 1;
    expect(await problems({ ...files, 'model.safetensors': changed })).toMatch(/model\.safetensors: differs/);
    expect(await problems({ ...files, 'config.json': '{ }' })).toMatch(/config\.json: differs/);
    expect(await problems({ ...files, 'b.txt': '' })).toMatch(/b\.txt: is only in the original/);
    const { 'sub/a.txt': _, ...fewer } = files;
    expect(await problems(fewer)).toMatch(/sub\/a\.txt: is not in the original/);
    expect(await verify(wpk, { against: wpk })).toMatchObject({ good: true, bitExact: true });
  });
});

describe('tensors of any length', () => {
  const block = 2 ** 20;
  it.each([1, 31, 4097, block - 1, block, block + 1, block + 24, 2 * block + 40_000, 3 * block + 4])(
    '%i bytes, among others',
    { tags: 'slow' },
    async (length) => {
      const random = seededRandom(length);
      const of = (name: string, n: number) => ({
        ...{ name, dtype: 'U8', shape: [n] },
        data: Uint8Array.from({ length: n }, () => Math.floor(random() * 256) & (random() < 0.5 ? 255 : 3)),
      });
      const tensors = [
        of('first', 100),
        of('a', length),
        of('b', 7),
        of('c', length + 9),
        of('last', 70_000),
      ];
      const path = folder({ 'model.safetensors': safetensors(tensors) });
      const { wpk, restored } = await roundTrip(path);
      expect(difference(path, restored)).toBe('');
      expect(await verify(wpk, { against: path, threads: 3 })).toMatchObject({ good: true, problems: [] });
    },
  );
});

describe('many small tensors', () => {
  it('20,000 in a file take seconds, and come back', { tags: 'slow' }, async () => {
    const tensors = Array.from({ length: 20_000 }, (_, i) => f32(`layer.${i}.scale`, [2], [i, -i]));
    const path = folder({ 'model.safetensors': safetensors(tensors) });
    const { restored } = await roundTrip(path);
    expect(difference(path, restored)).toBe('');
  });
});

describe('a source that changes while it is read', () => {
  it('is refused with the name of the file', async () => {
    const path = folder({ 'model.safetensors': weights(), 'z.txt': 'z'.repeat(100) });
    const output = join(folder(), 'x.wpk');
    let changed = false;
    const work = compress(path, output, {
      onProgress: () => {
        if (changed) return;
        changed = true;
        appendFileSync(join(path, 'model.safetensors'), 'x');
      },
    });
    await expect(work).rejects.toThrow(/model\.safetensors: /);
    await expect(inspect(output)).rejects.toThrow(/no such file/);
  });
});

describe('the state of a checkpoint', { tags: 'slow', ...needs(PYTHON, 'Python with PyTorch') }, () => {
  const path = folder();
  const save = (name: string, value: string) =>
    python(
      path,
      `a = {'w.weight': torch.randn(8, 4)}\nb = {'w.weight': torch.zeros(8, 4)}\ntorch.save(${value}, '${name}')`,
    );
  test.each([
    ["{'model': a, 'best_val_loss': torch.tensor(1.5)}", 'model', ['w.weight']],
    ["{'state_dict': a, 'step': torch.tensor(3), 'rng': torch.get_rng_state()}", 'state_dict', ['w.weight']],
    ["{'params_ema': a}", 'params_ema', ['w.weight']],
    ["{'net': a, 'optimizer': {'state': {0: {'exp_avg': torch.randn(8, 4)}}}}", 'net', ['w.weight']],
    ["[{'x': 1}, a]", '1', ['w.weight']],
    ['a', undefined, ['w.weight']],
  ])('%s is found, and named', async (value, state, names) => {
    save('one.pt', value);
    const model = await open(join(path, 'one.pt'));
    expect(model.state).toBe(state);
    expect(model.tensors.map(({ name }) => name)).toEqual(names);
    await model.close();
  });

  test.each([
    ["{'model': a, 'ema': b}", 'model', 'ema'],
    ["{'encoder': a, 'decoder': b}", 'encoder', 'decoder'],
    ['[a, b]', '0', '1'],
  ])('%s has to be chosen from', async (value, first, second) => {
    save('two.pt', value);
    await expect(open(join(path, 'two.pt'))).rejects.toMatchObject({
      what: `holds several states: ${first} (1 tensors), ${second} (1 tensors)`,
      code: 'several-states',
    });
    for (const [state, zero] of [
      [first, false],
      [second, true],
    ] as const) {
      const model = await open(join(path, 'two.pt'), { state });
      expect((await model.readTensor('w.weight')).every((byte) => byte === 0)).toBe(zero);
      await model.close();
    }
    const all = await open(join(path, 'two.pt'), { state: '.' });
    expect(all.tensors.map(({ name }) => name)).toEqual([`${first}.w.weight`, `${second}.w.weight`]);
    await all.close();
  });

  test('a state that is stored twice as the same object is found by either name', async () => {
    save('same.pt', "{'model': a, 'ema': a}");
    for (const state of ['model', 'ema']) {
      const model = await open(join(path, 'same.pt'), { state });
      expect(model.tensors.map(({ name }) => name)).toEqual(['w.weight']);
      await model.close();
    }
  });

  test('a lone scalar is no model', async () => {
    save('scalar.pt', "{'loss': torch.tensor(2.0)}");
    await expect(open(join(path, 'scalar.pt'))).rejects.toThrow(/no model tensors/);
  });

  test('complex, unsigned and scale types have their bytes', { tags: 'slow' }, async () => {
    python(
      path,
      "torch.save({'c': torch.view_as_complex(torch.arange(12.).reshape(2, 3, 2)), 'w': torch.ones(2, 2)}, 'c.pt')",
    );
    const model = await open(join(path, 'c.pt'));
    expect(model.tensors[0]).toMatchObject({ name: 'c', dtype: 'F32', shape: [2, 3, 2] });
    const values = new Float32Array((await model.readTensor('c')).slice().buffer);
    expect([...values]).toEqual(Array.from({ length: 12 }, (_, i) => i));
    await model.close();
  });

  test('the .wpk of a checkpoint is read as the same model', async () => {
    save('one.pt', "{'model': a, 'best_val_loss': torch.tensor(1.5)}");
    const wpk = join(path, 'one.wpk');
    await compress(join(path, 'one.pt'), wpk);
    const [here, there] = [await open(join(path, 'one.pt')), await open(wpk)];
    expect(there.tensors).toEqual(here.tensors);
    expect(await there.readTensor('w.weight')).toEqual(await here.readTensor('w.weight'));
    await Promise.all([here.close(), there.close()]);
  });
});
