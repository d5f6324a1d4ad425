import { InputError } from '../core/errors.js';
import { type Config, decodeUtf8, quote } from '../core/json.js';
import { contentOf } from './byte-level-bpe.js';
import { addedToken, surroundedBy } from './sentencepiece.js';

/** How BERT normalizes text. */
export interface BertNormalization {
  readonly lowercase: boolean;
  /** null strips accents if letters are made lower case. */
  readonly strip_accents: boolean | null;
  readonly handle_chinese_chars: boolean;
}

/** Special tokens of BERT by their keys in tokenizer_config.json. */
const SPECIAL_TOKENS = {
  unk_token: '[UNK]',
  sep_token: '[SEP]',
  pad_token: '[PAD]',
  cls_token: '[CLS]',
  mask_token: '[MASK]',
} as const;

/**
 * Converts BERT's vocab.txt, a token per line in order of ids, to tokenizer.json and tokenizer_config.json.
 * @throws {InputError} for duplicates, and when a special token around texts is missing.
 */
export function wordPiece(
  vocabulary: Uint8Array,
  config: Config,
  file: string,
): { definition: Config; config: Config } {
  const lines = decodeUtf8(vocabulary, `${file}, vocab.txt`).split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  const normalization = {
    lowercase: config.do_lower_case !== false,
    strip_accents: typeof config.strip_accents === 'boolean' ? config.strip_accents : null,
    handle_chinese_chars: config.tokenize_chinese_chars !== false,
  };
  const named = Object.entries(SPECIAL_TOKENS).filter(([, token]) => lines.includes(token));
  const all = { ...Object.fromEntries(named), ...config };
  return { definition: wordPieceTokenizer(lines, all, normalization, file), config: all };
}

/** Returns a WordPiece tokenizer as tokenizer.json, for tokens of which those within a word begin with `##`. @throws {InputError} */
export function wordPieceTokenizer(
  tokens: readonly string[],
  config: Config,
  normalization: BertNormalization,
  file: string,
): Record<string, unknown> {
  // without a prototype, so that any token is a safe key
  const vocab: Record<string, number> = Object.create(null);
  for (const [id, token] of tokens.entries()) {
    if (token in vocab) throw new InputError(`vocabulary: duplicate token ${quote(token)}`, { file });
    vocab[token] = id;
  }
  const nameOf = (key: keyof typeof SPECIAL_TOKENS) => contentOf(config[key]) ?? SPECIAL_TOKENS[key];
  const added = (Object.keys(SPECIAL_TOKENS) as (keyof typeof SPECIAL_TOKENS)[])
    .map(nameOf)
    .filter((content) => content in vocab)
    .map((content) => addedToken(vocab[content]!, content, true))
    .sort((a, b) => a.id - b.id);
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: { type: 'BertNormalizer', clean_text: true, ...normalization },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: surroundedBy(
      { prefix: [nameOf('cls_token')], suffix: [nameOf('sep_token')] },
      added,
      file,
    ),
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: nameOf('unk_token'),
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab,
    },
  };
}
