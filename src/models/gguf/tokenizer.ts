import { InputError } from '../../core/errors.js';
import { kindOf, quote } from '../../core/json.js';
import type { GgufValue } from './header.js';
import { preTokenizerNamed } from './pre-tokenizers.js';

type Metadata = ReadonlyMap<string, GgufValue>;

/** Values of `tokenizer.ggml.token_type`. */
export const TOKEN_KINDS = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const;

/** The two files of a tokenizer on the Hub. */
export interface TokenizerFiles {
  /** tokenizer.json. */
  readonly definition: Readonly<Record<string, unknown>>;
  /** tokenizer_config.json. */
  readonly config: Readonly<Record<string, unknown>>;
}

/**
 * Converts the tokenizer in a file's metadata; undefined unless it is byte-level BPE (`tokenizer.ggml.model` is `gpt2`) with a known
 * pre-tokenizer. SentencePiece (`llama`) is not supported.
 * @throws {InputError} when tokens or merges are not strings.
 */
export function readTokenizer(metadata: Metadata, file: string): TokenizerFiles | undefined {
  const pre = preTokenizerNamed(metadata.get('tokenizer.ggml.pre') ?? 'gpt-2');
  if (metadata.get('tokenizer.ggml.model') !== 'gpt2' || !pre) return undefined;
  const tokens = textsOf(metadata, 'tokenizer.ggml.tokens', file);
  const kinds = metadata.get('tokenizer.ggml.token_type');
  const kindOfToken = (id: number) => (Array.isArray(kinds) ? kinds[id] : TOKEN_KINDS.normal);
  const used = tokens
    .map((content, id) => ({ content, id }))
    .filter(({ id }) => kindOfToken(id) !== TOKEN_KINDS.unused);
  const added = used.filter(({ id }) =>
    [TOKEN_KINDS.control, TOKEN_KINDS.userDefined].some((kind) => kind === kindOfToken(id)),
  );
  // without a prototype, so that any token is a safe key
  const vocab = Object.assign(
    Object.create(null),
    Object.fromEntries(used.map(({ content, id }) => [content, id])),
  );
  const first = tokenOf(metadata, 'bos', tokens);
  const addsFirst = metadata.get('tokenizer.ggml.add_bos_token') ?? pre.addsFirst;
  const definition = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added.map(({ content, id }) =>
      addedToken(content, id, kindOfToken(id) === TOKEN_KINDS.control),
    ),
    normalizer: null,
    pre_tokenizer: pre.definition,
    post_processor:
      addsFirst === true && first !== undefined ? withFirst(first, tokens.indexOf(first)) : null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      unk_token: null,
      ignore_merges: pre.ignoresMerges,
      vocab,
      merges: textsOf(metadata, 'tokenizer.ggml.merges', file).map((merge) => pairOf(merge, file)),
    },
  };
  return { definition, config: tokenizerConfig(metadata, tokens) };
}

function tokenizerConfig(metadata: Metadata, tokens: readonly string[]): Record<string, unknown> {
  const template = metadata.get('tokenizer.chat_template');
  const named = {
    bos_token: tokenOf(metadata, 'bos', tokens),
    eos_token: tokenOf(metadata, 'eos', tokens),
    unk_token: tokenOf(metadata, 'unknown', tokens),
    pad_token: tokenOf(metadata, 'padding', tokens),
    chat_template: typeof template === 'string' ? template : undefined,
  };
  return { tokenizer_class: 'PreTrainedTokenizerFast', clean_up_tokenization_spaces: false, ...named };
}

function tokenOf(metadata: Metadata, which: string, tokens: readonly string[]): string | undefined {
  return tokens[Number(metadata.get(`tokenizer.ggml.${which}_token_id`) ?? -1)];
}

function addedToken(content: string, id: number, special: boolean): object {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special };
}

function withFirst(token: string, id: number): object {
  const special = { SpecialToken: { id: token, type_id: 0 } };
  const sequence = (name: string, type_id: number) => ({ Sequence: { id: name, type_id } });
  return {
    type: 'TemplateProcessing',
    single: [special, sequence('A', 0)],
    pair: [special, sequence('A', 0), special, sequence('B', 1)],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}

function textsOf(metadata: Metadata, key: string, file: string): readonly string[] {
  const value = metadata.get(key);
  if (!Array.isArray(value))
    throw new InputError(`${key}: expected an array of strings, found ${kindOf(value)}`, { file });
  const wrong = value.find((text) => typeof text !== 'string');
  if (wrong !== undefined)
    throw new InputError(`${key}: expected an array of strings, found the element ${quote(wrong)}`, { file });
  return value as string[];
}

function pairOf(merge: string, file: string): [string, string] {
  // the separating space is never the first character
  const space = merge.indexOf(' ', 1);
  if (space > 0 && space < merge.length - 1) return [merge.slice(0, space), merge.slice(space + 1)];
  throw new InputError(`tokenizer.ggml.merges: expected two tokens and a space, found ${quote(merge)}`, {
    file,
  });
}
