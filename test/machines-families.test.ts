// @module-tag slow
// Files from jobs in a random order are those of one process, for models of every kind.
import { expect, it } from 'vitest';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { calibration, sameBytes } from './helpers/fleet.js';
import { folder, safetensors } from './helpers/safetensors.js';
import { embeddingFolder } from './helpers/sentences.js';

await loadRuntime(1); // small models are slower on more threads

/** A mixture of experts, and convolutions. */
const NAMES = ['mixtral', 'lfm2'];

it.each(NAMES)('%s', async (name) => {
  const options = { budget: { bits: 8 }, calibration };
  const kinds = await sameBytes(embeddingFolder(name), options, { order: NAMES.indexOf(name) + 1 });
  expect(new Set(kinds)).toEqual(new Set(['windows', 'moments', 'matrix', 'encode', 'measure']));
});

it('an embedding model, to a cosine', async () => {
  const options = { budget: { cosine: 0.95 }, calibration };
  const kinds = await sameBytes(embeddingFolder('st_bert_mean'), options, { order: 4 });
  expect(new Set(kinds)).toEqual(new Set(['windows', 'moments', 'matrix', 'encode']));
});

it('a model to a size, without calibration, each job twice at the same time', async () => {
  const options = { budget: { bits: 8 }, calibration: false as const };
  const kinds = await sameBytes(embeddingFolder('gpt2'), options, { order: 5, twice: 'together' });
  expect(new Set(kinds)).toEqual(new Set(['matrix', 'encode']));
});

it('a file whose tensors take several jobs, without loss', async () => {
  const random = (count: number, seed: number) => {
    const words = new Uint32Array(count);
    for (let i = 0; i < count; i++) words[i] = 0x3c000000 + (Math.imul(i + seed, 0x9e3779b1) >>> 6);
    return new Uint8Array(words.buffer);
  };
  const tensor = (name: string, rows: number, seed: number) => ({
    name,
    dtype: 'F32',
    shape: [rows, 1024],
    data: random(1024 * rows, seed),
  });
  const large = tensor('large', 36_000, 2); // 147 MB: three jobs
  const tensors = [tensor('first', 1000, 1), large, { ...large, name: 'again' }, tensor('last', 3000, 3)];
  const kinds = await sameBytes(
    folder({ 'model.safetensors': safetensors(tensors) }),
    {},
    { order: 'reversed' },
  );
  expect(kinds).toEqual(['blocks', 'blocks', 'blocks']);
});
