import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FAMILIES } from './fixtures.js';
import { folder, seededRandom } from './safetensors.js';

// Fixtures of embedding models come without a tokenizer: here is one of whole words, with BERT's special tokens.

const SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
const WORDS = 90;
export const word = (i: number) =>
  `w${String.fromCharCode(97 + (i % 26))}${String.fromCharCode(97 + Math.floor(i / 26))}`;
const VOCABULARY = [...SPECIAL, ...Array.from({ length: WORDS }, (_, i) => word(i)), '.'];

const special = (content: string) => ({
  id: SPECIAL.indexOf(content),
  content,
  special: true,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
});

/** A tokenizer.json of WordPiece. */
const TOKENIZER = {
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: SPECIAL.map(special),
  normalizer: {
    type: 'BertNormalizer',
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true,
  },
  pre_tokenizer: { type: 'BertPreTokenizer' },
  post_processor: {
    type: 'TemplateProcessing',
    single: [
      { SpecialToken: { id: '[CLS]', type_id: 0 } },
      { Sequence: { id: 'A', type_id: 0 } },
      { SpecialToken: { id: '[SEP]', type_id: 0 } },
    ],
    pair: [],
    special_tokens: Object.fromEntries(
      ['[CLS]', '[SEP]'].map((id) => [id, { id, ids: [SPECIAL.indexOf(id)], tokens: [id] }]),
    ),
  },
  decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
  model: {
    type: 'WordPiece',
    unk_token: '[UNK]',
    continuing_subword_prefix: '##',
    max_input_chars_per_word: 100,
    vocab: Object.fromEntries(VOCABULARY.map((token, id) => [token, id])),
  },
};

/** A copy of a fixture with a tokenizer. @param files further files, or others in place of its own. */
export function embeddingFolder(name: string, files: Readonly<Record<string, unknown>> = {}): string {
  const path = folder();
  cpSync(join(FAMILIES, name), path, { recursive: true });
  for (const [file, content] of Object.entries({
    'tokenizer.json': TOKENIZER,
    'tokenizer_config.json': { tokenizer_class: 'BertTokenizer', mask_token: '[MASK]', model_max_length: 64 },
    ...files,
  }))
    writeFileSync(join(path, file), typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

/** Sentences of 3 to 14 words, one per line, in which some words are frequent. */
export function sentences(count: number, seed = 5): string[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => {
    const words = Array.from({ length: 3 + Math.floor(random() * 12) }, () =>
      word(Math.floor(random() ** 2 * WORDS)),
    );
    return `${words.join(' ')}.`;
  });
}
