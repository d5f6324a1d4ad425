import { InputError } from '../core/errors.js';
import { quote } from '../core/json.js';
import { PIECE_TYPES, type Piece, type SentencePieceModel } from './sentencepiece-model.js';

/** A token that is found in text before it is normalized. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
  /** Whether decoding leaves it out. */
  readonly special: boolean;
}

/** Tokens around a text, and tokens beside the pieces. */
export interface Around {
  /** Tokens before a text, such as BOS. */
  readonly prefix: readonly string[];
  /** Tokens after it, such as EOS. */
  readonly suffix: readonly string[];
  /** Tokens that replace the pieces of their ids, or follow them. */
  readonly added: readonly AddedToken[];
  /** Whether a space is put before every part between special tokens, not before the first alone. */
  readonly prefixesAll: boolean;
  /** Normalizers of tokenizer.json that precede the model's own. */
  readonly normalizers?: readonly object[] | undefined;
}

/**
 * Returns a SentencePiece model as tokenizer.json, which then gives the ids that SentencePiece gives: normalization in its order, merges
 * of BPE ordered by the score of the piece that they make, and pieces that users defined cut out before.
 * @throws {InputError} when a token around the text is none of its special tokens.
 */
export function sentencePieceTokenizer(
  model: SentencePieceModel,
  around: Around,
  file: string,
): Record<string, unknown> {
  const pieces = withAdded(model.pieces, around.added);
  const added = addedTokens(pieces, around.added);
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: normalizerOf(model, around),
    pre_tokenizer: preTokenizerOf(model, pieces, around),
    post_processor: surroundedBy(around, added, file),
    decoder: decoderOf(model),
    model: model.kind === 'bpe' ? bpeOf(model, pieces) : unigramOf(model, pieces),
  };
}

/** Returns a special token as tokenizer.json has it. */
export const addedToken = (id: number, content: string, special: boolean): AddedToken => ({
  ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special },
});

/**
 * Returns a post-processor that adds special tokens around a text; null for none.
 * @throws {InputError} when one is not among the tokens.
 */
export function surroundedBy(
  { prefix, suffix }: Pick<Around, 'prefix' | 'suffix'>,
  tokens: readonly { readonly id: number; readonly content: string }[],
  file: string,
): object | null {
  const used = [...new Set([...prefix, ...suffix])];
  if (!used.length) return null;
  const special = (type_id: number) => (id: string) => ({ SpecialToken: { id, type_id } });
  const sequence = (id: string, type_id: number) => ({ Sequence: { id, type_id } });
  const single = (name: string, type_id: number) => [
    ...prefix.map(special(type_id)),
    sequence(name, type_id),
    ...suffix.map(special(type_id)),
  ];
  const idOf = (content: string): number => {
    const token = tokens.find((token) => token.content === content);
    if (token) return token.id;
    throw new InputError(`invalid tokenizer: its special token ${quote(content)} is not in its vocabulary`, {
      file,
    });
  };
  return {
    type: 'TemplateProcessing',
    single: single('A', 0),
    pair: [...single('A', 0), ...single('B', 1)],
    special_tokens: Object.fromEntries(
      used.map((token) => [token, { id: token, ids: [idOf(token)], tokens: [token] }]),
    ),
  };
}

/** Returns pieces of which some are replaced, or followed, by added tokens; ids between are unused. */
function withAdded(pieces: readonly Piece[], added: readonly AddedToken[]): readonly Piece[] {
  const all = [...pieces];
  for (const { id, content } of added) {
    while (all.length < id) all.push({ text: `[PAD${all.length}]`, score: 0, type: PIECE_TYPES.unused });
    if (all[id]?.text !== content) all[id] = { text: content, score: 0, type: PIECE_TYPES.control };
  }
  return all;
}

function addedTokens(pieces: readonly Piece[], declared: readonly AddedToken[]): AddedToken[] {
  const known = new Map(declared.map((token) => [token.id, token]));
  for (const [id, { text, type }] of pieces.entries())
    if ((type === PIECE_TYPES.control || type === PIECE_TYPES.unknown) && text && !known.has(id))
      known.set(id, addedToken(id, text, true));
  return [...known.values()].sort((a, b) => a.id - b.id);
}

/** A rule of tokenizer.json that replaces what a regular expression of Oniguruma or a text matches. */
const replace = (pattern: { Regex: string } | { String: string }, content: string) => ({
  type: 'Replace',
  pattern,
  content,
});

/** Returns the normalizer, in SentencePiece's order; other white space than spaces stays. */
function normalizerOf(model: SentencePieceModel, { prefixesAll, normalizers: before = [] }: Around): object {
  const { charsmap, removesSpaces, addsPrefix } = model;
  const normalizers = [
    ...before,
    charsmap && { type: 'Precompiled', precompiled_charsmap: base64(charsmap) },
    removesSpaces && replace({ Regex: '\\A +' }, ''),
    removesSpaces && replace({ Regex: ' {2,}' }, ' '),
    replace({ String: ' ' }, '▁'),
    removesSpaces && replace({ Regex: '▁+\\z' }, ''),
    // Metaspace adds nothing before a text that begins with a space; SentencePiece does
    addsPrefix && prefixesAll && replace({ Regex: '\\A▁' }, '▁▁'),
  ];
  return { type: 'Sequence', normalizers: normalizers.filter(Boolean) };
}

/** Returns the pre-tokenizer: it adds the prefix and cuts out pieces that users defined, which are never split. */
function preTokenizerOf(
  { addsPrefix }: SentencePieceModel,
  pieces: readonly Piece[],
  { prefixesAll }: Around,
): object | null {
  const whole = pieces.flatMap(({ text, type }) => (type === PIECE_TYPES.userDefined && text ? [text] : []));
  const prepend_scheme = prefixesAll ? 'always' : 'first';
  const steps = [
    addsPrefix && { type: 'Metaspace', replacement: '▁', prepend_scheme, split: false },
    whole.length > 0 && {
      type: 'Split',
      pattern: { Regex: alternatives(whole) },
      behavior: 'Isolated',
      invert: false,
    },
  ].filter(Boolean);
  return steps.length ? { type: 'Sequence', pretokenizers: steps } : null;
}

/** Returns a pattern of texts, longer ones first. */
const alternatives = (texts: readonly string[]): string =>
  [...texts]
    .sort((a, b) => b.length - a.length)
    .map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'))
    .join('|');

function decoderOf({ byteFallback, addsPrefix }: SentencePieceModel): object {
  const decoders = [
    replace({ String: '▁' }, ' '),
    byteFallback && { type: 'ByteFallback' },
    { type: 'Fuse' },
    addsPrefix && { type: 'Strip', content: ' ', start: 1, stop: 0 },
  ];
  return { type: 'Sequence', decoders: decoders.filter(Boolean) };
}

function unigramOf({ unknown, byteFallback }: SentencePieceModel, pieces: readonly Piece[]): object {
  // the best score of a piece that users defined keeps it whole
  const vocab = pieces.map(({ text, score, type }) => [text, type === PIECE_TYPES.userDefined ? 0 : score]);
  return { type: 'Unigram', unk_id: unknown, vocab, byte_fallback: byteFallback };
}

function bpeOf({ unknown, byteFallback }: SentencePieceModel, pieces: readonly Piece[]): object {
  // without a prototype, so that any piece is a safe key
  const vocab: Record<string, number> = Object.create(null);
  for (const [id, { text }] of pieces.entries()) if (text) vocab[text] = id;
  return {
    type: 'BPE',
    dropout: null,
    unk_token: pieces[unknown]?.text ?? null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: true,
    byte_fallback: byteFallback,
    ignore_merges: pieces.some(({ type }) => type === PIECE_TYPES.userDefined),
    vocab,
    merges: mergesOf(pieces),
  };
}

/**
 * Returns the pairs of pieces that make a piece, highest score first; SentencePiece stores only the scores. Pairs of the same piece are
 * ordered by the length of the first, shortest first.
 */
export function mergesOf(pieces: readonly Piece[]): [string, string][] {
  const normal = pieces.flatMap((piece, id) => (piece.type === PIECE_TYPES.normal ? [{ ...piece, id }] : []));
  const known = new Set(normal.map(({ text }) => text));
  return normal
    .sort((a, b) => b.score - a.score || a.id - b.id)
    .flatMap(({ text }) => {
      const pairs: [string, string][] = [];
      for (let at = 1; at < text.length; at++) {
        const [left, right] = [text.slice(0, at), text.slice(at)];
        if (known.has(left) && known.has(right)) pairs.push([left, right]);
      }
      return pairs;
    });
}

function base64(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}
