import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TextStream } from '../src/tokenizer/text-stream.js';
import { loadTokenizer } from '../src/tokenizer/tokenizer.js';
import { SPEECHES_TEXT, TINY } from './helpers/fixtures.js';
import { refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';

const load = (model: MemoryModel) => loadTokenizer(model as never);
/** A model of which only the files matter. */
function withFiles(files: Record<string, string>, config: Record<string, unknown> = {}): MemoryModel {
  const model = new MemoryModel(config, new Map());
  for (const [name, content] of Object.entries(files)) model.addFile(name, content);
  return model;
}

describe('the tokenizer of a trained model', () => {
  const definition = JSON.parse(readFileSync(join(TINY, 'tokenizer.json'), 'utf8'));
  const { vocab, merges } = definition.model;
  const lines = (merges ?? []).map((pair: string | string[]) =>
    Array.isArray(pair) ? pair.join(' ') : pair,
  );
  const gpt2Files = {
    'vocab.json': JSON.stringify(vocab),
    'merges.txt': `#version: 0.2\n${lines.join('\n')}\n`,
  };
  const text = readFileSync(SPEECHES_TEXT, 'utf8').slice(0, 50_000);

  it('gives back the text it was given, without added tokens', async () => {
    const tokenizer = await load(await MemoryModel.of(TINY));
    const ids = tokenizer.encode(text);
    expect(tokenizer.decode(ids)).toBe(text);
    expect(ids.length).toBeLessThan(text.length / 2);
    expect(ids).not.toContain(0);
    expect(tokenizer.encode(text)).toEqual(ids);
  });

  it('is the same from vocab.json and merges.txt, with and without its first line', async () => {
    const whole = await load(await MemoryModel.of(TINY));
    const sample = `${text.slice(0, 20_000)} <|endoftext|> don't 12 345\n\n\tnaïve — 😀 <mask>`;
    const expected = whole.encode(sample);
    expect(expected).toContain(0);
    const pieces = await load(withFiles(gpt2Files));
    expect(pieces.encode(sample)).toEqual(expected);
    expect(pieces.decode(expected)).toBe(whole.decode(expected));
    const bare = await load(
      withFiles({ ...gpt2Files, 'merges.txt': lines.join('\r\n'), 'tokenizer_config.json': '{}' }),
    );
    expect(bare.encode(sample)).toEqual(expected);
  });

  it('is refused when it gives ids that the vocabulary lacks', async () => {
    const model = withFiles(gpt2Files, { vocab_size: 300 });
    const tokenizer = await load(model);
    expect(await refusalOf(() => tokenizer.encode(text))).toMatch(
      /^model: the tokenizer does not match the model: token id \d+, vocabulary of 300$/,
    );
  });

  it('streams text a whole character at a time', async () => {
    const tokenizer = await load(withFiles(gpt2Files));
    const sample = 'Plain words, then 😀🏳️‍🌈 and naïve — done. 文字';
    const prompt = tokenizer.encode('Before: ');
    const ids = tokenizer.encode(sample);
    const stream = new TextStream(tokenizer, prompt);
    const parts = ids.map((id) => stream.push(id));
    expect(parts.join('') + stream.finish()).toBe(sample);
    expect(parts.join('')).not.toContain('\uFFFD');
    expect(parts.filter((part) => part === '').length).toBeGreaterThan(5);
    expect(parts.slice(0, 3).every((part) => part !== '')).toBe(true);
  });

  it('streams an incomplete character at the end as what it decodes to', async () => {
    const tokenizer = await load(withFiles(gpt2Files));
    const ids = tokenizer.encode('a😀');
    const stream = new TextStream(tokenizer, []);
    const parts = ids.slice(0, -1).map((id) => stream.push(id));
    expect(parts.join('')).toBe('a');
    expect(stream.finish()).toMatch(/^\uFFFD+$/);
  });
});

describe('the tokens of GPT-2’s two files', () => {
  // Bytes first, as GPT-2 has them: Ġ is a space.
  const vocabulary = { a: 0, b: 1, Ġ: 2, ab: 3, Ġab: 4, '<mask>': 5, '<s>': 6 };
  const merges = '#version: 0.2\na b\nĠ ab\n';
  const files = { 'vocab.json': JSON.stringify(vocabulary), 'merges.txt': merges };

  it('merges in the order of merges.txt', async () => {
    const tokenizer = await load(withFiles(files));
    expect(tokenizer.encode('ab ab ba')).toEqual([3, 4, 2, 1, 0]);
    expect(tokenizer.decode([3, 4])).toBe('ab ab');
  });

  it('keeps special tokens whole; a mask takes the space before it', async () => {
    const tokenizer = await load(withFiles(files));
    expect(tokenizer.encode('ab <mask> ab<s>')).toEqual([3, 5, 4, 6]);
    expect(tokenizer.maskToken).toBe(5);
    expect(tokenizer.decode([3, 5])).toBe('ab');
  });

  it.each([
    [
      'neither kind of file',
      {},
      /has no tokenizer: expected tokenizer.json, tokenizer.model, vocab.txt, or vocab.json and/,
    ],
    ['merges.txt alone', { 'merges.txt': merges }, /has no tokenizer/],
    [
      'a line that is no pair',
      { ...files, 'merges.txt': 'a b c\n' },
      /pair of tokens per line, found "a b c"/,
    ],
    ['an id that is no integer', { ...files, 'vocab.json': '{"a":1.5}' }, /id for token "a", found 1.5/],
    ['JSON that is none', { 'tokenizer.json': '{' }, /tokenizer.json.*is not JSON/],
    ['a tokenizer.json without a model', { 'tokenizer.json': '{}' }, /invalid tokenizer/],
  ])('%s is refused in one line', async (_, given, expected) => {
    expect(await refusalOf(() => load(withFiles(given as Record<string, string>)))).toMatch(expected);
  });

  const definition = {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: { type: 'BPE', vocab: { a: 0, b: 1 }, merges: [] },
  };
  it.each([
    [
      'a step that does not work',
      { pre_tokenizer: { type: 'Split', pattern: { Regex: 'a' }, behavior: 5 } },
      /invalid tokenizer/,
    ],
    [
      'tokens that are no numbers',
      { model: { type: 'BPE', vocab: { a: 'x', b: 1.5 }, merges: [] } },
      /token ids must be non-negative integers/,
    ],
  ])('%s is refused in one line once it is used', async (_, change, expected) => {
    const tokenizer = await load(
      withFiles({ 'tokenizer.json': JSON.stringify({ ...definition, ...change }) }),
    );
    expect(await refusalOf(async () => tokenizer.encode('ab'))).toMatch(expected);
  });
});
