import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compress, decompress, open } from '../src/index.js';
import { openFolder } from '../src/models/folder/open.js';
import { writeGgufHeader } from '../src/models/gguf/header-writer.js';
import { typeNamed } from '../src/models/gguf/types.js';
import { openWpk } from '../src/wpk/original.js';
import { CountingSource, f32, folder, rawSafetensors, safetensors } from './helpers/safetensors.js';

// What cannot be opened leaves nothing open.

test('a .wpk of a GGUF file of a type that is not decoded', async () => {
  const tensor = { name: 'a', type: typeNamed('IQ2_XXS'), shape: [256], lengthBytes: 66 };
  const header = writeGgufHeader([{ key: 'general.architecture', type: 'string', value: 'x' }], [tensor]);
  const model = folder({ 'model.gguf': Buffer.concat([header, Buffer.alloc(96, 7)]) });
  const path = join(folder(), 'x.wpk');
  await compress(model, path);
  const source = new CountingSource('x.wpk', readFileSync(path));
  await expect(openWpk(source)).rejects.toThrow(/IQ2_XXS/);
  expect(source.closed).toBe(true);
});

test('weights beside a config that cannot be read', async () => {
  const weights = new CountingSource('model.safetensors', safetensors([f32('a', [2], [1, 2])]));
  const files = ['config.json', 'model.safetensors'];
  const broken = {
    id: 'model',
    kind: 'hub' as const,
    list: async () => files.map((name) => ({ name, lengthBytes: weights.byteLength })),
    open: async (name: string) => {
      if (name === 'config.json') throw new Error('the connection broke');
      return weights;
    },
    place: (name: string) => name,
  };
  await expect(openFolder(broken)).rejects.toThrow('broke');
  expect(weights.closed || weights.ranges.length === 0).toBe(true);
});

test('threads: 0 makes the same file', async () => {
  const model = folder({
    'model.safetensors': safetensors([f32('a', [300, 1000], Float32Array.from({ length: 3e5 }, Math.sin))]),
  });
  const place = folder();
  const [here, there] = [join(place, 'here.wpk'), join(place, 'there.wpk')];
  await compress(model, here, { threads: 0 });
  await compress(model, there, { threads: 2 });
  expect(readFileSync(here).equals(readFileSync(there))).toBe(true);
  await decompress(here, join(place, 'out'), { threads: 0 });
  const name = 'model.safetensors';
  expect(readFileSync(join(place, 'out', name)).equals(readFileSync(join(model, name)))).toBe(true);
});

test('a shape beyond 2^53 of a type that nobody knows is no reason not to compress', async () => {
  const header = JSON.stringify({
    w: { dtype: 'F2_NEW', shape: [2 ** 40, 2 ** 40], data_offsets: [0, 8] },
  });
  const model = folder({ 'model.safetensors': rawSafetensors(header, new Uint8Array(8).fill(9)) });
  await expect(open(model)).rejects.toThrow(/too large/);
  const path = join(folder(), 'x.wpk');
  await compress(model, path);
  const out = join(folder(), 'out');
  await decompress(path, out);
  expect(
    readFileSync(join(out, 'model.safetensors')).equals(readFileSync(join(model, 'model.safetensors'))),
  ).toBe(true);
});
