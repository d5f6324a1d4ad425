import { InputError } from '../../core/errors.js';
import { type Config, isPlainObject } from '../../core/json.js';
import { mergesOf } from '../../tokenizer/sentencepiece.js';
import { PIECE_TYPES } from '../../tokenizer/sentencepiece-model.js';
import type { GgufEntry } from './header-writer.js';
import type { TokenList, Written } from './token-list.js';
import { SPACE } from './vocabulary-kinds.js';

/** Score of tokens that are no pieces, as llama.cpp's converter writes it. */
const ADDED_SCORE = -1000;

const bool = (key: string, value: boolean): GgufEntry => ({
  key: `tokenizer.ggml.${key}`,
  type: 'bool',
  value,
});

/** Returns the steps of a normalizer or pre-tokenizer, sequences opened. */
function stepsOf(step: unknown): Config[] {
  if (!isPlainObject(step)) return [];
  const inner = step.normalizers ?? step.pretokenizers;
  return Array.isArray(inner) ? inner.flatMap(stepsOf) : [step];
}

/** Returns whether spaces are written as `▁`, as in SentencePiece. */
export function isSpaceEscaped({ normalizer, pre_tokenizer }: Config): boolean {
  return [...stepsOf(normalizer), ...stepsOf(pre_tokenizer)].some(
    ({ type, content }) => type === 'Metaspace' || (type === 'Replace' && content === SPACE),
  );
}

/** Rules of normalizers by what they do to text, as far as llama.cpp does it. */
const RULES = {
  escape: '{"String":" "}▁',
  prefix: '{"Regex":"\\\\A▁"}▁▁',
  strip: ['{"Regex":"\\\\A +"}', '{"Regex":"▁+\\\\z"}'],
  merge: ['{"Regex":" {2,}"} ', '{"Regex":" {2,}"}▁'],
} as const;

/** Returns what a SentencePiece tokenizer does to text. @throws {InputError} for what llama.cpp does not do. */
function normalizationOf({ normalizer, pre_tokenizer }: Config, tokens: ReadonlySet<string>, file: string) {
  let [addsPrefix, removesSpaces, charsmap]: [boolean, boolean, string | undefined] = [
    false,
    false,
    undefined,
  ];
  const whole = new Set<string>();
  const known: readonly string[] = [RULES.escape, RULES.prefix];
  for (const step of [...stepsOf(normalizer), ...stepsOf(pre_tokenizer)]) {
    const { type, pattern, content, prepend_scheme, precompiled_charsmap } = step;
    const rule = `${JSON.stringify(pattern)}${String(content)}`;
    const { String: literal, Regex: regex } = isPlainObject(pattern) ? pattern : {};
    if (type === 'Precompiled') charsmap = String(precompiled_charsmap);
    else if (type === 'Prepend') addsPrefix = true;
    else if (type === 'Metaspace')
      addsPrefix ||= prepend_scheme !== 'never' && step.add_prefix_space !== false;
    else if (type === 'WhitespaceSplit' || type === 'Strip') removesSpaces = true;
    else if (type === 'Replace' && [...RULES.strip, ...RULES.merge].some((known) => known === rule))
      removesSpaces = true;
    else if (type === 'Replace' && known.includes(rule)) continue;
    else if (type === 'Split' && literal === ' ')
      continue; // after escaping there are no spaces
    else if (
      type === 'Split' &&
      typeof regex === 'string' &&
      literalsOf(regex).every((text) => tokens.has(text))
    )
      for (const text of literalsOf(regex)) whole.add(text);
    else
      throw new InputError(
        `unsupported tokenizer for GGUF: llama.cpp has no ${String(type)} in SentencePiece`,
        {
          file,
        },
      );
  }
  return { addsPrefix, removesSpaces, charsmap, whole };
}

/** Returns the texts that a regular expression of alternatives matches. */
const literalsOf = (regex: string): string[] =>
  (regex.match(/(?:\\.|[^|\\])+/gsu) ?? []).map((text) => text.replaceAll(/\\(.)/gsu, '$1'));

/**
 * Returns what GGUF has of SentencePiece: BPE as kind `llama`, whose merges follow from scores, and unigram as kind `t5`. Sets the types
 * of tokens in the list.
 * @throws {InputError} for normalization that llama.cpp lacks, and merges that do not follow from scores.
 */
export function sentencePieceEntries(list: TokenList, definition: Config, file: string): Written {
  const { tokens, types, kind, model } = list;
  const { addsPrefix, removesSpaces, charsmap, whole } = normalizationOf(definition, new Set(tokens), file);
  const isByteFallback = model.byte_fallback === true;
  const unknown = kind === 'Unigram' ? tokens[Number(model.unk_id)] : model.unk_token;
  for (const [id, token] of tokens.entries()) {
    if (token === unknown) types[id] = PIECE_TYPES.unknown;
    else if (whole.has(token)) types[id] = PIECE_TYPES.userDefined;
    else if (isByteFallback && /^<0x[0-9A-F]{2}>$/.test(token)) types[id] = PIECE_TYPES.byte;
  }
  const scores = kind === 'Unigram' ? list.scores : scoresOf(list, file);
  const value = tokens.map((token) => scores.get(token) ?? ADDED_SCORE);
  // llama.cpp looks for these in text that has spaces still
  for (const [id, type] of types.entries())
    if (type === PIECE_TYPES.userDefined) tokens[id] = tokens[id]!.replaceAll(SPACE, ' ');
  const bytes = charsmap === undefined ? '' : decodeBase64(charsmap, file);
  const more: GgufEntry[] = [
    { key: 'tokenizer.ggml.scores', type: 'float32', value },
    bool('add_space_prefix', addsPrefix),
    ...(kind === 'Unigram' || removesSpaces ? [bool('remove_extra_whitespaces', removesSpaces)] : []),
    ...(bytes
      ? [
          {
            key: 'tokenizer.ggml.precompiled_charsmap',
            type: 'uint8',
            value: Array.from(bytes, (character) => character.charCodeAt(0)),
          } as const,
        ]
      : []),
  ];
  if (kind === 'BPE' && (bytes || removesSpaces))
    throw new InputError('unsupported tokenizer for GGUF: llama.cpp does not normalize text for BPE', {
      file,
    });
  return { entries: { model: kind === 'Unigram' ? 't5' : 'llama', more }, pre: 'default', ends: true };
}

function decodeBase64(text: string, file: string): string {
  try {
    return atob(text);
  } catch (error) {
    throw new InputError('tokenizer.json: precompiled_charsmap is not base64', { file }, { cause: error });
  }
}

/**
 * Returns scores of which the merges follow: the first merge has the highest.
 * @throws {InputError} when other merges would follow from them.
 */
function scoresOf(list: TokenList, file: string): Map<string, number> {
  const merges = list.merges();
  const scores = new Map<string, number>();
  let last: string | undefined;
  let isOrdered = true;
  for (const [left, right] of merges) {
    const merged = left + right;
    if (merged !== last && scores.has(merged)) isOrdered = false;
    if (merged !== last) scores.set(merged, -scores.size);
    last = merged;
  }
  for (const [id, token] of list.tokens.entries())
    if (list.types[id] === PIECE_TYPES.normal && !scores.has(token)) scores.set(token, -scores.size);
  const pieces = list.tokens.map((text, id) => ({
    text,
    score: scores.get(text) ?? 0,
    type: list.types[id]!,
  }));
  const given = new Set(merges.map((pair) => JSON.stringify(pair)));
  if (!isOrdered || !mergesOf(pieces).every((pair) => given.has(JSON.stringify(pair))))
    throw new InputError(
      'unsupported tokenizer for GGUF: its merges do not follow from scores of tokens, which is all that llama.cpp has for SentencePiece',
      { file },
    );
  return scores;
}

/** Returns what GGUF has of WordPiece: tokens that begin a word are marked instead of those within one. @throws {InputError} */
export function wordPieceEntries(list: TokenList, definition: Config, file: string): Written {
  const { tokens, types, model } = list;
  const normalizer = isPlainObject(definition.normalizer) ? definition.normalizer : {};
  const { type, clean_text, handle_chinese_chars, lowercase, strip_accents } = normalizer;
  const [pre] = stepsOf(definition.pre_tokenizer);
  if (
    type !== 'BertNormalizer' ||
    clean_text === false ||
    handle_chinese_chars === false ||
    pre?.type !== 'BertPreTokenizer' ||
    model.continuing_subword_prefix !== '##'
  )
    throw new InputError('unsupported tokenizer for GGUF: expected WordPiece that splits text as BERT does', {
      file,
    });
  for (const [id, token] of tokens.entries()) {
    if (token === model.unk_token) types[id] = PIECE_TYPES.control;
    if (types[id] === PIECE_TYPES.control) continue;
    tokens[id] = token.startsWith('##') ? token.slice(2) : `${SPACE}${token}`;
  }
  const more = [bool('normalizer.lowercase', lowercase !== false)];
  if (typeof strip_accents === 'boolean') more.push(bool('normalizer.strip_accents', strip_accents));
  return { entries: { model: 'bert', more }, pre: 'default', ends: true };
}
