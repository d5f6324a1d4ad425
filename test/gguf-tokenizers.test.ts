import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Llama } from 'node-llama-cpp';
import { afterAll, describe, expect, it } from 'vitest';
import { openModel } from '../src/open/open.js';
import { writeGguf } from '../src/operations/export/gguf.js';
import { readTokenizerFiles } from '../src/tokenizer/files.js';
import { loadTokenizer } from '../src/tokenizer/tokenizer.js';
import { TOKENIZERS } from './helpers/fixtures.js';
import { asModel, tinyModel } from './helpers/gguf.js';
import { refusalOf } from './helpers/logits.js';
import { needs } from './helpers/needs.js';
import { folder } from './helpers/safetensors.js';

const { texts: EXPECTED } = JSON.parse(readFileSync(join(TOKENIZERS, 'expected.json'), 'utf8')) as {
  texts: Record<string, { text: string; ids: number[] }[]>;
};

/** Names of tokenizers, their files in a model's folder, the size of their vocabulary, and the kind that GGUF calls them. */
const KINDS = [
  ['bpe', 'tokenizer.model', 500, 'llama'],
  ['bare', 'tokenizer.model', 450, 'llama'],
  ['unigram', 'spiece.model', 300, 't5'],
  ['bytes', 'spiece.model', 500, 't5'],
  ['vocab', 'vocab.txt', 400, 'bert'],
] as const;

/** A tiny model with a tokenizer's file. */
function withFile(name: string, file: string, vocab_size: number) {
  const model = tinyModel('llama', { vocab_size });
  model.addFile(file, readFileSync(join(TOKENIZERS, file === 'vocab.txt' ? file : `${name}.model`)));
  return model;
}

/** llama.cpp itself, where it has a build for this system. */
const llama: Llama | undefined = await import('node-llama-cpp')
  .then(({ getLlama, LlamaLogLevel }) =>
    getLlama({ gpu: false, build: 'never', progressLogs: false, logLevel: LlamaLogLevel.error }),
  )
  .catch(() => undefined);
afterAll(() => llama?.dispose());

describe('tokenizers of SentencePiece and BERT in GGUF', () => {
  const place = folder();

  it.each(KINDS)(
    '%s comes back from a file with the ids of the reference',
    async (name, file, size, kind) => {
      const path = join(place, `${name}.gguf`);
      const original = withFile(name, file, size);
      await writeGguf(asModel(original), path, { type: 'F32' });
      await using opened = await openModel(path);
      const [before, after] = [await loadTokenizer(asModel(original)), await loadTokenizer(opened)];
      for (const { text, ids } of EXPECTED[name]!) {
        expect([text, after.encode(text, kind === 'bert')]).toEqual([text, ids]);
        expect(after.encode(text, true)).toEqual(before.encode(text, true));
        expect(after.decode(ids)).toBe(before.decode(ids));
      }
      const { definition } = (await readTokenizerFiles(opened))!;
      expect((definition.model as { type: string }).type).toBe(
        { llama: 'BPE', t5: 'Unigram', bert: 'WordPiece' }[kind],
      );
    },
  );
});

describe('a tokenizer.json that llama.cpp has no kind for', () => {
  const place = folder();
  const scored = {
    added_tokens: [],
    normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: { type: 'BPE', unk_token: null, vocab: { a: 0, b: 1, ab: 2, ba: 3, aba: 4 }, merges: [] },
  };
  const withMerges = (merges: string[]) => ({ ...scored, model: { ...scored.model, merges } });

  it.each([
    ['a merge is missing', withMerges(['a b', 'b a', 'ab a']), /merges do not follow from scores/],
    [
      'merges of one token apart',
      withMerges(['a ba', 'a b', 'b a', 'ab a']),
      /merges do not follow from scores/,
    ],
    [
      'a step that it lacks',
      { ...scored, pre_tokenizer: { type: 'Punctuation' } },
      /llama.cpp has no Punctuation in SentencePiece/,
    ],
    [
      'normalized text',
      { ...withMerges(['a b', 'b a', 'ab a', 'a ba']), pre_tokenizer: { type: 'WhitespaceSplit' } },
      /does not normalize text for BPE/,
    ],
    [
      'WordPiece over other words',
      { ...scored, model: { type: 'WordPiece', unk_token: 'a', vocab: { a: 0 } } },
      /WordPiece that splits text as BERT does/,
    ],
    ['words', { ...scored, model: { type: 'WordLevel', vocab: { a: 0 } } }, /found "WordLevel"/],
  ])('%s is refused', async (_, definition, message) => {
    const model = tinyModel('llama', { vocab_size: 5 });
    model.addFile('tokenizer.json', JSON.stringify(definition));
    expect(await refusalOf(() => writeGguf(asModel(model), join(place, 'none.gguf')))).toMatch(message);
  });
});

describe('llama.cpp', needs(llama, 'a build of llama.cpp for this system'), () => {
  const place = folder();
  /** Texts that llama.cpp cuts otherwise: it adds a space behind what users defined, and has no bytes for unigram models. */
  const differs: Readonly<Record<string, (text: string, ids: readonly number[]) => boolean>> = {
    bpe: (text) => /<cut>|▁| {2}|^ /.test(text),
    bytes: (text, ids) => /<cut>|▁/.test(text) || ids.some((id) => id > 3 && id < 260),
  };

  it.each(KINDS)('tokenizes with %s like the reference', async (name, file, size, kind) => {
    const path = join(place, `${name}.gguf`);
    await writeGguf(asModel(withFile(name, file, size)), path, { type: 'F32' });
    const model = await llama!.loadModel({ modelPath: path, vocabOnly: true });
    const same = EXPECTED[name]!.filter(({ text, ids }) => !differs[name]?.(text, ids));
    expect(same.length).toBeGreaterThan(3);
    for (const { text, ids } of same) {
      const plain = kind === 'bert' ? ids.slice(1, -1) : ids;
      expect([text, [...model.tokenize(text, kind === 'bert')]]).toEqual([text, plain]);
    }
    await model.dispose();
  });
});
