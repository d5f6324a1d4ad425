import { InputError } from '../../core/errors.js';
import { type Config, quote } from '../../core/json.js';
import type { TokenizerFiles } from '../../tokenizer/files.js';
import { addedToken, surroundedBy } from '../../tokenizer/sentencepiece.js';
import { PIECE_TYPES } from '../../tokenizer/sentencepiece-model.js';
import { preTokenizerNamed } from './pre-tokenizers.js';
import { type Metadata, textsOf, Vocabulary } from './vocabulary.js';
import { sentencePiece, wordPiece } from './vocabulary-kinds.js';

/** Readers by `tokenizer.ggml.model`. */
const KINDS: Readonly<Record<string, (read: Vocabulary) => Config | undefined>> = {
  gpt2: byteLevelBpe,
  llama: (read) => sentencePiece(read, 'bpe'),
  t5: (read) => sentencePiece(read, 'unigram'),
  bert: wordPiece,
};

/** Returns whether the tokenizer in a file's metadata can be converted. */
export function hasTokenizer(metadata: Metadata): boolean {
  const kind = String(metadata.get('tokenizer.ggml.model'));
  return Object.hasOwn(KINDS, kind) && (kind !== 'gpt2' || preTokenizerOf(metadata) !== undefined);
}

/**
 * Converts the tokenizer in a file's metadata to tokenizer.json and tokenizer_config.json: byte-level BPE (`tokenizer.ggml.model` is
 * `gpt2`) with a known pre-tokenizer, SentencePiece's BPE (`llama`) and unigram (`t5`), and WordPiece (`bert`); undefined for others.
 * @throws {InputError} when tokens, scores or merges are malformed.
 */
export function readTokenizer(metadata: Metadata, file: string): TokenizerFiles | undefined {
  const kind = String(metadata.get('tokenizer.ggml.model'));
  if (!hasTokenizer(metadata)) return undefined;
  const read = new Vocabulary(metadata, kind, file);
  const definition = KINDS[kind]!(read);
  return definition && { definition, config: read.config() };
}

const preTokenizerOf = (metadata: Metadata) =>
  preTokenizerNamed(metadata.get('tokenizer.ggml.pre') ?? 'default');

function byteLevelBpe(read: Vocabulary): Config | undefined {
  const { metadata, tokens, file } = read;
  const pre = preTokenizerOf(metadata)!;
  const used = tokens
    .map((content, id) => ({ content, id }))
    .filter(({ id }) => read.typeOf(id) !== PIECE_TYPES.unused);
  const added = used.filter(({ id }) =>
    [PIECE_TYPES.control, PIECE_TYPES.userDefined].some((type) => type === read.typeOf(id)),
  );
  // without a prototype, so that any token is a safe key
  const vocab = Object.assign(
    Object.create(null),
    Object.fromEntries(used.map(({ content, id }) => [content, id])),
  );
  const first = read.named('bos');
  const addsFirst = read.flag('add_bos_token', pre.addsFirst ?? false) && first !== undefined;
  const addedTokens = added.map(({ content, id }) =>
    addedToken(id, content, read.typeOf(id) === PIECE_TYPES.control),
  );
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens,
    normalizer: null,
    pre_tokenizer: pre.definition,
    post_processor: surroundedBy({ prefix: addsFirst ? [first] : [], suffix: [] }, used, file),
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      unk_token: null,
      ignore_merges: pre.ignoresMerges ?? false,
      vocab,
      merges: textsOf(metadata, 'tokenizer.ggml.merges', file).map((merge) => pairOf(merge, file)),
    },
  };
}

function pairOf(merge: string, file: string): [string, string] {
  // the separating space is never the first character
  const space = merge.indexOf(' ', 1);
  if (space > 0 && space < merge.length - 1) return [merge.slice(0, space), merge.slice(space + 1)];
  throw new InputError(`tokenizer.ggml.merges: expected two tokens and a space, found ${quote(merge)}`, {
    file,
  });
}
