import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import '../src/tokenizer/node/deadline.js';
import { DEADLINE } from '../src/tokenizer/deadline.js';
import { loadTokenizer } from '../src/tokenizer/tokenizer.js';
import { complaint, weightpress } from './helpers/cli.js';
import { MemoryModel } from './helpers/memory-model.js';
import { folder, safetensors } from './helpers/safetensors.js';

const ENDLESS = '(a+)+$';
const LONG = `${'a'.repeat(60)}b`;

/** A tokenizer of single letters, with a pattern somewhere. */
const definition = (parts: object) => ({
  version: '1.0',
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: null,
  model: { type: 'BPE', vocab: { a: 0, b: 1 }, merges: [], unk_token: null },
  ...parts,
});

const load = (parts: object) => {
  const model = new MemoryModel({}, new Map());
  model.addFile('tokenizer.json', JSON.stringify(definition(parts)));
  return loadTokenizer(model as never);
};

const limits = { ...DEADLINE };
beforeEach(() => Object.assign(DEADLINE, { firstMs: 200, msPerMegabyte: 1000 }));
afterEach(() => void Object.assign(DEADLINE, limits));

describe('a pattern of tokenizer.json that never ends', () => {
  test.each([
    ['normalizer', { type: 'Replace', pattern: { Regex: ENDLESS }, content: 'a' }],
    ['pre_tokenizer', { type: 'Split', pattern: { Regex: ENDLESS }, behavior: 'Isolated', invert: false }],
  ])('as its %s: tokenizing ends with an error that names the file', async (place, part) => {
    const tokenizer = await load({ [place]: part });
    expect(() => tokenizer.encode(LONG)).toThrow(
      /tokenizer\.json: tokenizing 61 characters took over 0\.2\d* s/,
    );
    expect(tokenizer.encode('ab')).toEqual([0, 1]); // what is harmless still works
  });

  test('as its decoder: so does putting text together', async () => {
    const decoder = { type: 'Replace', pattern: { Regex: ENDLESS }, content: 'a' };
    const vocab = { [LONG]: 0, b: 1 };
    const model = { type: 'BPE', vocab, merges: [], unk_token: null };
    const tokenizer = await load({ decoder, model });
    expect(() => tokenizer.decode([0])).toThrow(/tokenizer\.json: decoding 1 tokens took over/);
  });

  test('errors of the tokenizer itself pass as they are', async () => {
    expect(() => DEADLINE.run(() => JSON.parse('{'), 1000)).toThrow(SyntaxError);
    expect(DEADLINE.run(() => [1, 2], 1000)).toEqual([1, 2]);
  });
});

test('a model that cannot be run names the way that works without running it', { tags: 'slow' }, () => {
  const data = new Uint8Array(Float32Array.from({ length: 65_536 }, (_, i) => Math.sin(i)).buffer);
  const model = folder({
    'model.safetensors': safetensors([{ name: 'w', dtype: 'F32', shape: [256, 256], data }]),
    'config.json': '{"model_type":"nobody-knows"}',
  });
  const out = `${model}/out.wpk`;
  const said = complaint(weightpress('compress', model, '-o', out, '--kl', '0.01'));
  expect(said).toMatchObject({ status: 2, lines: 1, stack: false });
  expect(said.message).toMatch(/unsupported model_type "nobody-knows".*--no-calibration .* with --bits/);
  const works = weightpress('compress', model, '-o', out, '--bits', '5', '--no-calibration');
  expect(works).toMatchObject({ status: 0, stderr: '' });
});
