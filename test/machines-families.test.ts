// @module-tag slow
// Files from jobs in a random order are those of one process, for models of every kind.
import { expect, it } from 'vitest';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { calibration, sameBytes } from './helpers/fleet.js';
import { embeddingFolder } from './helpers/sentences.js';

await loadRuntime(1); // small models are slower on more threads

/** Mixtures of experts, attention of several kinds, tied and shared matrices, masked models. */
const NAMES = ['mixtral', 'gpt_oss', 'gemma3', 'opt_350m', 'lfm2', 'roberta'];

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
