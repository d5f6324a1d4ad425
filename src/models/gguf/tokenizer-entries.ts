import { InputError } from '../../core/errors.js';
import type { Config } from '../../core/json.js';
import { isPlainObject, quote } from '../../core/json.js';
import { PIECE_TYPES } from '../../tokenizer/sentencepiece-model.js';
import type { TokenizerFiles } from '../../tokenizer/tokenizer.js';
import type { GgufEntry } from './header-writer.js';
import { preTokenizerLike } from './pre-tokenizers.js';

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
}

/**
 * Returns the metadata of a tokenizer that llama.cpp needs; for a model without one, the entry that says so.
 * @param vocabulary rows of the embedding; ids beyond the tokenizer's are filled with unused tokens.
 * @throws {InputError} unless it is byte-level BPE with a pre-tokenizer that llama.cpp supports.
 */
export function tokenizerEntries(
  tokenizer: TokenizerFiles | undefined,
  config: Config,
  vocabulary: number,
  file: string,
): GgufEntry[] {
  if (!tokenizer)
    return [
      { key: 'tokenizer.ggml.model', type: 'string', value: 'none' },
      ...specialTokens({}, config, [], vocabulary),
    ];
  const { definition } = tokenizer;
  const model = isPlainObject(definition.model) ? definition.model : {};
  if (model.type !== 'BPE' || !isPlainObject(model.vocab) || !Array.isArray(model.merges))
    throw new InputError(
      `unsupported tokenizer for GGUF: expected byte-level BPE, found ${quote(model.type)}`,
      { file },
    );
  const pre = preTokenizerLike(definition.pre_tokenizer);
  if (!pre) throw new InputError('unsupported tokenizer for GGUF: unknown pre_tokenizer', { file });
  const added = (Array.isArray(definition.added_tokens) ? definition.added_tokens : []) as AddedToken[];
  const { tokens, kinds } = listTokens(model.vocab, added, vocabulary, file);
  return [
    { key: 'tokenizer.ggml.model', type: 'string', value: 'gpt2' },
    { key: 'tokenizer.ggml.pre', type: 'string', value: pre.names[0]! },
    { key: 'tokenizer.ggml.tokens', type: 'string', value: tokens },
    { key: 'tokenizer.ggml.token_type', type: 'int32', value: kinds },
    {
      key: 'tokenizer.ggml.merges',
      type: 'string',
      value: model.merges.map((merge) => mergeText(merge, file)),
    },
    ...specialTokens(tokenizer.config, config, tokens, vocabulary),
    { key: 'tokenizer.ggml.add_bos_token', type: 'bool', value: addsFirst(definition.post_processor) },
    ...chatTemplate(tokenizer.config),
  ];
}

function listTokens(
  vocab: Readonly<Record<string, unknown>>,
  added: readonly AddedToken[],
  size: number,
  file: string,
) {
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const kinds: number[] = new Array(size).fill(PIECE_TYPES.unused);
  const set = (content: string, id: unknown, kind: number) => {
    if (!(Number.isSafeInteger(id) && (id as number) >= 0 && (id as number) < size))
      throw new InputError(
        `the tokenizer does not match the model: token ${quote(content)} has id ${quote(id)}, vocabulary of ${size}`,
        { file },
      );
    tokens[id as number] = content;
    kinds[id as number] = kind;
  };
  for (const [content, id] of Object.entries(vocab)) set(content, id, PIECE_TYPES.normal);
  for (const { content, id, special } of added)
    set(content, id, special === false ? PIECE_TYPES.userDefined : PIECE_TYPES.control);
  return { tokens, kinds };
}

/** Returns the BOS, EOS, unknown and padding tokens, from the tokenizer's names or else the config's ids. */
function specialTokens(
  named: TokenizerFiles['config'],
  config: Config,
  tokens: readonly string[],
  vocabulary: number,
): GgufEntry[] {
  const entries: GgufEntry[] = [];
  for (const [short, long] of Object.entries({ bos: 'bos', eos: 'eos', unk: 'unknown', pad: 'padding' })) {
    const token = named[`${short}_token`];
    const id = tokens.indexOf((isPlainObject(token) ? token.content : token) as string);
    const value = id < 0 ? Number([config[`${short}_token_id`]].flat()[0] ?? -1) : id;
    if (Number.isSafeInteger(value) && value >= 0 && value < vocabulary)
      entries.push({ key: `tokenizer.ggml.${long}_token_id`, type: 'uint32', value });
  }
  return entries;
}

/** Returns whether the post-processor prepends a special token. */
function addsFirst(processor: unknown): boolean {
  if (!isPlainObject(processor)) return false;
  if (Array.isArray(processor.processors)) return processor.processors.some(addsFirst);
  const first = Array.isArray(processor.single) ? processor.single[0] : undefined;
  return isPlainObject(first) && 'SpecialToken' in first;
}

function chatTemplate({ chat_template }: TokenizerFiles['config']): GgufEntry[] {
  return typeof chat_template === 'string'
    ? [{ key: 'tokenizer.chat_template', type: 'string', value: chat_template }]
    : [];
}

/** Returns a merge as GGUF writes it; tokenizer.json has pairs or, in older files, strings. */
function mergeText(merge: unknown, file: string): string {
  const pair = typeof merge === 'string' ? merge.split(' ') : merge;
  if (
    Array.isArray(pair) &&
    pair.length === 2 &&
    pair.every((token) => typeof token === 'string' && /^[^ ]+$/.test(token))
  )
    return pair.join(' ');
  throw new InputError(
    `tokenizer.json: expected merges to be pairs of tokens without spaces, found ${quote(merge)}`,
    { file },
  );
}
