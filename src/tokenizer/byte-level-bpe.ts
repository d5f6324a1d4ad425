import { InputError } from '../core/errors.js';
import { decodeUtf8, quote } from '../core/json.js';

/** Special tokens of GPT-2 and RoBERTa; those in the vocabulary are never split. */
const SPECIAL_TOKENS = ['<|endoftext|>', '<s>', '</s>', '<pad>', '<unk>', '<mask>'];

/**
 * Converts GPT-2's two files to a `tokenizer.json`: byte-level BPE with `vocabulary` (token to id) and `merges` (a pair of tokens per
 * line, highest priority first).
 * @throws {InputError} for ids that are not integers and lines that are not pairs.
 */
export function byteLevelBpe(
  vocabulary: Readonly<Record<string, unknown>>,
  merges: Uint8Array,
  config: Readonly<Record<string, unknown>>,
  file: string,
): Record<string, unknown> {
  const wrong = Object.entries(vocabulary).find(([, id]) => !Number.isSafeInteger(id) || Number(id) < 0);
  if (wrong)
    throw new InputError(
      `vocab.json: expected an id for token ${quote(wrong[0])}, found ${quote(wrong[1])}`,
      { file },
    );
  return {
    version: '1.0',
    added_tokens: specialTokens(vocabulary, config),
    normalizer: null,
    pre_tokenizer: {
      type: 'ByteLevel',
      add_prefix_space: config.add_prefix_space === true,
      trim_offsets: true,
      use_regex: true,
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', vocab: vocabulary, merges: parseMerges(merges, file), unk_token: null },
  };
}

function specialTokens(
  vocabulary: Readonly<Record<string, unknown>>,
  config: Readonly<Record<string, unknown>>,
): object[] {
  const declared = ['bos_token', 'eos_token', 'pad_token', 'mask_token'].map((key) => contentOf(config[key]));
  const contents = new Set([...SPECIAL_TOKENS, ...declared]);
  return [...contents]
    .filter((content) => content !== undefined && Object.hasOwn(vocabulary, content))
    .map((content) => ({
      id: vocabulary[content!],
      content,
      single_word: false,
      // a mask replaces a word and the space before it
      lstrip: content === '<mask>',
      rstrip: false,
      normalized: false,
      special: true,
    }));
}

function parseMerges(bytes: Uint8Array, file: string): [string, string][] {
  const lines = decodeUtf8(bytes, `${file}, merges.txt`).split(/\r?\n/);
  const body = lines[0]?.startsWith('#version') ? lines.slice(1) : lines;
  return body
    .filter((line) => line !== '')
    .map((line) => {
      const [left, right, ...more] = line.split(' ');
      if (left && right && !more.length) return [left, right];
      throw new InputError(`merges.txt: expected a pair of tokens per line, found ${quote(line)}`, { file });
    });
}

/** Returns the text of a special token, which is declared as a string or an object with `content`. */
export function contentOf(token: unknown): string | undefined {
  const content = (token as { content?: unknown } | null | undefined)?.content ?? token;
  return typeof content === 'string' ? content : undefined;
}
