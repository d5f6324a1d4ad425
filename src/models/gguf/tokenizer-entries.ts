import { InputError } from '../../core/errors.js';
import type { Config } from '../../core/json.js';
import { isPlainObject, quote } from '../../core/json.js';
import { contentOf } from '../../tokenizer/byte-level-bpe.js';
import type { TokenizerFiles } from '../../tokenizer/files.js';
import type { GgufEntry } from './header-writer.js';
import { preTokenizerLike } from './pre-tokenizers.js';
import { isSpaceEscaped, sentencePieceEntries, wordPieceEntries } from './token-kinds.js';
import { TokenList, type Written } from './token-list.js';
import { SPECIAL_TOKENS } from './vocabulary.js';

/**
 * Returns the metadata of a tokenizer that llama.cpp needs; for a model without one, the entry that says so.
 * @param vocabulary rows of the embedding; ids beyond the tokenizer's are filled with unused tokens.
 * @throws {InputError} unless llama.cpp has the kind of tokenizer: byte-level BPE with a known pre-tokenizer, SentencePiece, WordPiece.
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
  const list = new TokenList(definition, vocabulary, file);
  const isSentencePiece = list.kind === 'Unigram' || (list.kind === 'BPE' && isSpaceEscaped(definition));
  const kind = isSentencePiece ? 'SentencePiece' : list.kind;
  const write = Object.hasOwn(WRITERS, kind) ? WRITERS[kind as keyof typeof WRITERS] : undefined;
  if (!write)
    throw new InputError(
      `unsupported tokenizer for GGUF: expected BPE, Unigram or WordPiece, found ${quote(list.kind)}`,
      { file },
    );
  const { entries, ends, pre } = write(list, definition, file);
  const around = surrounding(definition.post_processor);
  const text = (key: string, value: string | readonly string[]): GgufEntry => ({
    key: `tokenizer.ggml.${key}`,
    type: 'string',
    value,
  });
  return [
    text('model', entries.model),
    text('pre', pre),
    text('tokens', list.tokens),
    { key: 'tokenizer.ggml.token_type', type: 'int32', value: list.types },
    ...entries.more,
    ...specialTokens(named(tokenizer.config, around, ends), config, list.tokens, vocabulary),
    { key: 'tokenizer.ggml.add_bos_token', type: 'bool', value: around.first !== undefined },
    ...(ends || around.last !== undefined
      ? [{ key: 'tokenizer.ggml.add_eos_token', type: 'bool', value: around.last !== undefined } as const]
      : []),
    ...chatTemplate(tokenizer.config),
  ];
}

const WRITERS = { BPE: byteLevel, SentencePiece: sentencePieceEntries, WordPiece: wordPieceEntries } as const;

function byteLevel(list: TokenList, definition: Config, file: string): Written {
  const pre = preTokenizerLike(definition.pre_tokenizer, list.model.ignore_merges === true);
  if (!pre) throw new InputError('unsupported tokenizer for GGUF: unknown pre_tokenizer', { file });
  const merges = list.merges().map(([left, right]) => `${left} ${right}`);
  const entry: GgufEntry = { key: 'tokenizer.ggml.merges', type: 'string', value: merges };
  return { entries: { model: 'gpt2', more: [entry] }, pre: pre.names[0]!, ends: false };
}

/** Returns the names of special tokens, with those around a text as BOS and EOS where llama.cpp is to add them. */
function named(config: Config, { first, last }: ReturnType<typeof surrounding>, ends: boolean): Config {
  if (!ends) return config;
  return {
    ...config,
    bos_token: first ?? config.bos_token ?? config.cls_token,
    eos_token: last ?? config.eos_token ?? config.sep_token,
  };
}

/** Returns the BOS, EOS, unknown and padding tokens, from the tokenizer's names or else the config's ids. */
function specialTokens(
  named: TokenizerFiles['config'],
  config: Config,
  tokens: readonly string[],
  vocabulary: number,
): GgufEntry[] {
  const entries: GgufEntry[] = [];
  for (const [long, key] of Object.entries(SPECIAL_TOKENS)) {
    const token = named[key];
    const id = tokens.indexOf((isPlainObject(token) ? token.content : token) as string);
    const value = id < 0 ? Number([config[`${key}_id`]].flat()[0] ?? -1) : id;
    if (Number.isSafeInteger(value) && value >= 0 && value < vocabulary)
      entries.push({ key: `tokenizer.ggml.${long}_token_id`, type: 'uint32', value });
  }
  return entries;
}

/** Returns the special tokens that the post-processor puts before and after a text. */
function surrounding(processor: unknown): { first?: string | undefined; last?: string | undefined } {
  if (!isPlainObject(processor)) return {};
  const { type, processors, single, cls, sep } = processor;
  if (Array.isArray(processors))
    return processors.map(surrounding).find(({ first, last }) => first ?? last) ?? {};
  if (type === 'BertProcessing' || type === 'RobertaProcessing')
    return { first: contentOf([cls].flat()[0]), last: contentOf([sep].flat()[0]) };
  const template = Array.isArray(single) ? single : [];
  const specialOf = (step: unknown) =>
    isPlainObject(step) && isPlainObject(step.SpecialToken) ? String(step.SpecialToken.id) : undefined;
  return { first: specialOf(template[0]), last: specialOf(template.at(-1)) };
}

function chatTemplate({ chat_template }: TokenizerFiles['config']): GgufEntry[] {
  return typeof chat_template === 'string'
    ? [{ key: 'tokenizer.chat_template', type: 'string', value: chat_template }]
    : [];
}
