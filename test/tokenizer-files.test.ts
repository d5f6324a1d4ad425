import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { describe, expect, it } from 'vitest';
import type { Model } from '../src/core/model.js';
import { randomNumbers } from '../src/core/random.js';
import { readTokenizerFiles } from '../src/tokenizer/files.js';
import { loadTokenizer } from '../src/tokenizer/tokenizer.js';
import { EVALUATION_TEXT, TOKENIZERS } from './helpers/fixtures.js';
import { refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';

interface Case {
  readonly text: string;
  readonly ids: readonly number[];
}

interface Special {
  readonly model: string;
  readonly file: string;
  readonly config: object;
  readonly cases: readonly Case[];
}

/** Ids that Python's sentencepiece and transformers give: scripts/fixtures/tokenizer_files.py. */
const { texts: EXPECTED, special: SPECIAL } = JSON.parse(
  readFileSync(join(TOKENIZERS, 'expected.json'), 'utf8'),
) as { texts: Record<string, Case[]>; special: Special[] };
const bytesOf = (name: string) => readFileSync(join(TOKENIZERS, name));

/** A model of which only these files matter. */
function withFiles(files: Record<string, string | Uint8Array>): Model {
  const model = new MemoryModel({}, new Map());
  for (const [name, content] of Object.entries(files)) model.addFile(name, content);
  return model as never;
}
const load = (files: Record<string, string | Uint8Array>) => loadTokenizer(withFiles(files));

describe('a SentencePiece file without tokenizer.json', () => {
  it.each([
    ['bpe', 'tokenizer.model'],
    ['bare', 'tokenizer.model'],
    ['unigram', 'spiece.model'],
    ['bytes', 'spiece.model'],
  ])('%s as %s gives the ids of sentencepiece', async (name, file) => {
    const tokenizer = await load({ [file]: bytesOf(`${name}.model`) });
    for (const { text, ids } of EXPECTED[name]!) expect([text, tokenizer.encode(text)]).toEqual([text, ids]);
  });
});

describe('special tokens beside a SentencePiece file', () => {
  it.each(SPECIAL)('$model gives the ids of transformers', async ({ model, file, config, cases }) => {
    const tokenizer = await load({
      [file]: bytesOf(model),
      'tokenizer_config.json': JSON.stringify(config),
    });
    for (const { text, ids } of cases) expect([text, tokenizer.encode(text, true)]).toEqual([text, ids]);
  });
});

describe('vocab.txt', () => {
  it('gives the ids of transformers', async () => {
    const tokenizer = await load({ 'vocab.txt': bytesOf('vocab.txt') });
    for (const { text, ids } of EXPECTED.vocab!)
      expect([text, tokenizer.encode(text, true)]).toEqual([text, ids]);
  });
});

describe('what SentencePiece files give back', () => {
  it.each(['bpe', 'bare'])('%s decodes to the text', async (name) => {
    const tokenizer = await load({ 'tokenizer.model': bytesOf(`${name}.model`) });
    const plain = EXPECTED[name]!.map(({ text }) => text).filter((text) => !text.includes('▁'));
    for (const text of plain) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  it('a long text without spaces decodes to itself', async () => {
    const text = 'once'.repeat(40_000);
    for (const name of ['bpe', 'bytes']) {
      const tokenizer = await load({ 'tokenizer.model': bytesOf(`${name}.model`) });
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
  });
});

describe('a long text without words', () => {
  it('is cut by BPE as the library cuts all of it at once', async () => {
    const text = readFileSync(EVALUATION_TEXT, 'utf8').slice(0, 6000);
    for (const name of ['bpe', 'bare']) {
      const model = withFiles({ 'tokenizer.model': bytesOf(`${name}.model`) });
      const { definition, config } = (await readTokenizerFiles(model))!;
      const { ids } = new Tokenizer(definition, config).encode(text, { add_special_tokens: false });
      expect((await loadTokenizer(model)).encode(text)).toEqual(ids);
    }
  });
});

describe('a damaged file', () => {
  const whole = bytesOf('unigram.model');
  const varint = (value: number): number[] =>
    value < 128 ? [value] : [(value & 127) | 128, ...varint(value >> 7)];
  const field = (number: number, bytes: Uint8Array | number[]) => [
    ...varint(number * 8 + 2),
    ...varint(bytes.length),
    ...bytes,
  ];
  const piece = (text: string, ...more: number[]) => field(1, [...field(1, Buffer.from(text)), ...more]);

  it.each([
    ['cut', whole.subarray(0, 5000), /ends beyond its message/],
    ['empty', [], /has no pieces/],
    ['not protobuf', Buffer.from('{"version": 1}'), /not a message of protocol buffers/],
    ['of words', [...piece('<unk>'), ...field(2, [24, 3])], /expected unigram or BPE/],
    ['twice the same piece', [...piece('a'), ...piece('a')], /piece 1, "a", is a duplicate/],
    ['a long piece', piece('a'.repeat(2000)), /piece 0 of 2000 characters/],
    ['no text', piece('a', 21, 0, 0, 192, 127), /has the score NaN/],
    ['no UTF-8', field(1, field(1, [255])), /piece 0.*is not UTF-8/],
    ['an unknown piece that is none', [...piece('a'), ...field(2, [192, 2, 7])], /unknown piece is 7 of 1/],
    [
      'a character map of nothing',
      [...piece('a'), ...field(3, field(2, [1, 0, 0, 0, 1]))],
      /precompiled_charsmap: an array of 1 bytes in 5/,
    ],
  ])('%s is refused in one line', async (_, bytes, message) => {
    const refusal = await refusalOf(() => load({ 'tokenizer.model': Uint8Array.from(bytes) }));
    expect(refusal).toMatch(message);
    expect(refusal).toMatch(/^model[^\n]*$/);
  });

  it('a character map with damaged units is refused, or gives some text', async () => {
    const random = randomNumbers(5);
    const start = whole.indexOf(Buffer.from('nmt_nfkc')) + 16;
    let refused = 0;
    for (let i = 0; i < 6; i++) {
      const bytes = Uint8Array.from(whole);
      for (let k = 0; k < 2000; k++) bytes[start + Math.floor(random() * 2000)] = Math.floor(random() * 256);
      const tokenizer = await load({ 'tokenizer.model': bytes });
      try {
        tokenizer.encode('naïve ＦＵＬＬ ﷺ é text');
      } catch (error) {
        expect((error as Error).message).toMatch(/^model: precompiled_charsmap: [^\n]*$/);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(0);
  });
});
