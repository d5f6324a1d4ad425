import { symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openFolder } from '../src/models/folder/open.js';
import { findLicense, licenseOfCard, recognizeLicense } from '../src/models/license.js';
import { LocalFolder } from '../src/models/node/local.js';
import { openModel } from '../src/open/open.js';
import { f32, folder, safetensors } from './helpers/safetensors.js';

const weights = safetensors([f32('w', [2], [1, 2])]);
const shard = (...names: string[]) => safetensors(names.map((name) => f32(name, [1], [names.length])));
const index = (map: unknown) => JSON.stringify({ metadata: { total_size: 8 }, weight_map: map });

async function refusal(path: string): Promise<string> {
  const error = await openModel(path).then(
    () => expect.fail('was accepted'),
    (caught) => caught,
  );
  expect(error.name).toBe('InputError');
  expect(error.message).not.toMatch(/[\r\n]/);
  return error.message;
}

describe('a folder', () => {
  it('gives weights, config and the files that travel with them, sorted', async () => {
    const path = folder({
      'model.safetensors': weights,
      'config.json': '{"model_type":"gpt2"}',
      'tokenizer.json': '{}',
      'tokenizer.model': 'x',
      'merges.txt': '#version',
      'README.md': '# card',
      LICENSE: 'text',
      'NOTICE.txt': 'text',
      'chat_template.jinja': '{{ x }}',
      'added.json': '{}',
      '.hidden.json': '{}',
      'pytorch_model.bin': 'x',
      'model.gguf': 'x',
      'script.py': 'x',
      'onnx/config.json': '{}',
    });
    const model = await openModel(path);
    expect(model.kind).toBe('directory');
    expect(model.config).toEqual({ model_type: 'gpt2' });
    expect(model.sideFiles.map(({ name }) => name)).toEqual([
      '.hidden.json',
      'LICENSE',
      'NOTICE.txt',
      'README.md',
      'added.json',
      'chat_template.jinja',
      'config.json',
      'merges.txt',
      'onnx/config.json',
      'script.py',
      'tokenizer.json',
      'tokenizer.model',
    ]);
    expect(model.leftOut?.map(({ name }) => name)).toEqual(['model.gguf', 'pytorch_model.bin']);
    expect(model.weightFiles).toEqual([{ name: 'model.safetensors', lengthBytes: weights.length }]);
    const card = model.sideFiles.find(({ name }) => name === 'README.md');
    expect(Buffer.from((await card?.read()) ?? []).toString()).toBe('# card');
    await model.close();
  });

  it('follows links to blobs, as the cache of the Hub has them, and no others that lead out', async () => {
    const snapshot = `snapshots/${'0'.repeat(40)}`;
    const path = folder({
      'blobs/a': weights,
      'blobs/b': '{"n_layer":1}',
      [`${snapshot}/README.md`]: '',
      'secret.json': 'secret',
    });
    symlinkSync('../../blobs/a', join(path, snapshot, 'model.safetensors'));
    symlinkSync('../../blobs/b', join(path, snapshot, 'config.json'));
    symlinkSync('../../blobs/none', join(path, snapshot, 'vocab.json'));
    symlinkSync('../../secret.json', join(path, snapshot, 'tokenizer.json'));
    const model = await openModel(join(path, snapshot));
    expect(model.config).toEqual({ n_layer: 1 });
    expect(model.sideFiles.map(({ name }) => name)).toEqual(['README.md', 'config.json']);
    await model.close();
  });

  it('prefers safetensors to a PyTorch checkpoint in the same folder, whose index is unchanged', async () => {
    const torchIndex = '{"weight_map": {"w": "pytorch_model-00001-of-00001.bin"}}';
    const single = await openModel(
      folder({
        'model.safetensors': weights,
        'pytorch_model.bin.index.json': torchIndex,
        'pytorch_model.bin': 'x',
      }),
    );
    expect(single.sideFiles.map(({ name }) => name)).toEqual(['pytorch_model.bin.index.json']);
    await single.close();
    const name = single.tensors[0]!.name;
    const shards = await openModel(
      folder({
        'model-00001-of-00001.safetensors': weights,
        'model.safetensors.index.json': JSON.stringify({
          weight_map: { [name]: 'model-00001-of-00001.safetensors' },
        }),
        'pytorch_model.bin.index.json': '{"weight_map": 7}',
      }),
    );
    expect(shards.sideFiles.map(({ name: own }) => own)).toEqual([
      'model.safetensors.index.json',
      'pytorch_model.bin.index.json',
    ]);
    await shards.close();
  });

  it('names what is missing or wrong', async () => {
    expect(await refusal(folder())).toMatch(/expected model\.safetensors or .*index\.json.*found no weights/);
    expect(await refusal(folder({ 'model.tflite': 'x' }))).toMatch(/found only model\.tflite/);
    expect(await refusal(folder({ 'pytorch_model.bin': 'x' }))).toMatch(/pytorch_model\.bin.*pickle refused/);
    expect(await refusal(join(folder(), 'nowhere'))).toMatch(/nowhere: no such file/);
  });

  it.each([
    ['{', /config\.json.*not JSON/],
    ['[]', /found an array/],
  ])('opens with a config of %s, and says why it has none', async (config, message) => {
    const model = await openModel(folder({ 'model.safetensors': weights, 'config.json': config }));
    expect(model.config).toBeUndefined();
    expect(model.configError?.message).toMatch(message);
    await model.close();
  });

  it('reads a config as Python does: NaN, infinities, a byte order mark', async () => {
    const config =
      '\ufeff{"eps": Infinity, "low": -Infinity, "nan": NaN, "text": "NaN, \\"Infinity", "n": 2}';
    const model = await openModel(folder({ 'model.safetensors': weights, 'config.json': config }));
    const text = 'NaN, "Infinity';
    expect(model.config).toEqual({ eps: Infinity, low: -Infinity, nan: null, text, n: 2 });
    await model.close();
  });

  it('refuses a tokenizer over the limit, and leaves other texts that large behind', async () => {
    const path = folder({ 'model.safetensors': weights, 'notes.txt': '' });
    truncateSync(join(path, 'notes.txt'), 50_000_001);
    const model = await openModel(path);
    expect(model.sideFiles).toEqual([]);
    await model.close();
    writeFileSync(join(path, 'tokenizer.json'), '');
    truncateSync(join(path, 'tokenizer.json'), 50_000_001);
    expect(await refusal(path)).toMatch(/tokenizer\.json.*50000001 bytes, over the limit of 50000000/);
  });
});

describe('shards', () => {
  it('are one model, file by file, with the header of each', async () => {
    const first = shard('a', 'b');
    const path = folder({
      'model-00002-of-00002.safetensors': shard('c'),
      'model-00001-of-00002.safetensors': first,
      'model-unused.safetensors': weights,
      'model.safetensors.index.json': index({
        c: 'model-00002-of-00002.safetensors',
        a: 'model-00001-of-00002.safetensors',
        b: 'model-00001-of-00002.safetensors',
      }),
    });
    const model = await openFolder(new LocalFolder(path));
    expect(model.tensors.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
    expect(model.weightFiles.map(({ name }) => name)).toEqual([
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
    ]);
    expect(await model.readTensor('c')).toEqual(new Uint8Array(Float32Array.of(1).buffer));
    const [source] = model.weightSources;
    expect(Buffer.from(source?.headerBytes ?? [])).toEqual(Buffer.from(first.slice(0, first.length - 8)));
    expect(source?.tensors.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(model.sideFiles.map(({ name }) => name)).toEqual(['model.safetensors.index.json']);
    await model.close();
  });

  const s = 's.safetensors';
  const t = 't.safetensors';
  const outside = [
    '../outside.safetensors',
    '/etc/x.safetensors',
    'sub/../../s.safetensors',
    '..\\x.safetensors',
  ].concat(['..', '', 's.bin', 'x\0.safetensors']);
  it.each(outside)('never leave the folder: %j', async (name) => {
    const path = folder({
      'in/model.safetensors.index.json': index({ w: name }),
      'outside.safetensors': weights,
    });
    expect(await refusal(join(path, 'in'))).toMatch(/index\.json, tensor "w".*in this folder/);
  });

  const malformed: Record<string, [files: Record<string, string | Uint8Array>, problem: RegExp]> = {
    'no weight_map': [
      { 'model.safetensors.index.json': '{}' },
      /weight_map: expected an object, found nothing/,
    ],
    'an empty weight_map': [{ 'model.safetensors.index.json': index({}) }, /names no tensor/],
    'a shard that is no text': [{ 'model.safetensors.index.json': index({ w: 3 }) }, /tensor "w".*found 3/],
    'a missing shard': [{ 'model.safetensors.index.json': index({ w: s }) }, /s\.safetensors: no such file/],
    'a tensor in no shard': [
      { 'model.safetensors.index.json': index({ w: s, x: s }), [s]: weights },
      /"x": expected in s\.safetensors, found in no shard/,
    ],
    'a tensor in another shard': [
      { 'model.safetensors.index.json': index({ a: s, b: s }), [s]: shard('a'), [t]: shard('b') },
      /"b": expected in s\.safetensors, found in no shard/,
    ],
    'tensors swapped': [
      { 'model.safetensors.index.json': index({ a: t, b: s }), [s]: shard('a'), [t]: shard('b') },
      /"a": expected in t\.safetensors, found in s\.safetensors/,
    ],
    'a tensor in two shards': [
      { 'model.safetensors.index.json': index({ a: s, b: t }), [s]: shard('a', 'b'), [t]: shard('b') },
      /t\.safetensors, tensor "b": duplicate name, also in .*s\.safetensors/,
    ],
    'a tensor listed twice': [
      {
        'model.safetensors.index.json': `{"weight_map":{"a":"${s}","a":"${t}"}}`,
        [s]: shard('a'),
        [t]: shard('a'),
      },
      /duplicate JSON key "a"/,
    ],
  };
  it.each(Object.entries(malformed))('refused: %s', async (_, [files, problem]) => {
    const path = folder(files);
    const message = await refusal(path);
    expect(message).toMatch(problem);
    expect(message).toContain(path);
  });
});

describe('a file', () => {
  it('of an unknown kind is refused with what is accepted', async () => {
    const path = folder({ 'model.tflite': 'garbage and more garbage', empty: '' });
    expect(await refusal(join(path, 'model.tflite'))).toMatch(
      /model\.tflite: not a model.*\.safetensors file/,
    );
    expect(await refusal(join(path, 'empty'))).toMatch(/expected a model, found an empty file/);
  });

  it('is recognized by content, whatever its name, and reads no other files', async () => {
    const path = folder({ 'blob-1': weights, 'config.json': '{}' });
    const model = await openModel(join(path, 'blob-1'));
    expect(model).toMatchObject({ kind: 'safetensors', config: undefined, sideFiles: [] });
    await model.close();
  });
});

describe('the license', () => {
  const side = (name: string, text: string) => ({
    name,
    lengthBytes: text.length,
    read: async () => new TextEncoder().encode(text),
  });
  it('is what the card says', () => {
    expect(licenseOfCard('---\nlanguage: en\nlicense: mit\n---\n# x')).toBe('mit');
    expect(licenseOfCard('---\r\nlicense: "apache-2.0" # as upstream\r\n---\r\n')).toBe('apache-2.0');
    expect(licenseOfCard('---\nlicense: [mit, cc0-1.0]\n---')).toBe('mit, cc0-1.0');
    expect(licenseOfCard('---\nlicense:\n- mit\n- bsd\ntags:\n- x\n---')).toBe('mit, bsd');
    expect(licenseOfCard('---\nlicense: other\nlicense_name: own\n---')).toBe('own');
    expect(licenseOfCard('---\nlicense:\ntags: x\n---')).toBeUndefined();
    expect(licenseOfCard('# card\nlicense: mit')).toBeUndefined();
  });
  it('is recognized from the text', () => {
    expect(recognizeLicense('   Apache License\n   Version 2.0, January 2004')).toBe('apache-2.0');
    expect(recognizeLicense('GNU GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007 ...')).toBe('gpl-3.0');
    expect(
      recognizeLicense(
        'Copyright X\nPermission is hereby granted, free of charge, to any person\nobtaining a copy of',
      ),
    ).toBe('mit');
    const bsd = 'Redistribution and use in source and binary forms, with or';
    expect(recognizeLicense(bsd)).toBe('bsd-2-clause');
    expect(recognizeLicense(`${bsd}\n\n3. Neither the name of`)).toBe('bsd-3-clause');
    expect(recognizeLicense('CC0 1.0 Universal')).toBe('cc0-1.0');
    expect(recognizeLicense('do as you like')).toBeUndefined();
  });
  it('is unknown if no file states it; a broken file is named', async () => {
    expect(await findLicense([])).toEqual({ id: 'unknown', from: undefined });
    expect(await findLicense([side('LICENSE', 'mine')])).toEqual({ id: 'unknown', from: 'LICENSE' });
    const files = [side('LICENSE', 'CC0 1.0 Universal'), side('README.md', '# none')];
    expect(await findLicense(files)).toEqual({ id: 'cc0-1.0', from: 'LICENSE' });
  });
});
