import { InputError } from '../core/errors.js';
import { decodeUtf8, quote } from '../core/json.js';
import { type MessageField, messageFields } from './message.js';

/** Types of pieces, numbered as in SentencePiece and in `tokenizer.ggml.token_type`. */
export const PIECE_TYPES = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const;

/** A piece of a SentencePiece vocabulary; its index is its id. */
export interface Piece {
  /** Its text, with `▁` for a space. */
  readonly text: string;
  /** Of unigram models a log probability; of BPE models the priority of the merge that makes it. */
  readonly score: number;
  /** One of {@link PIECE_TYPES}. */
  readonly type: number;
}

/** What a SentencePiece model says about pieces and how text is normalized. */
export interface SentencePieceModel {
  readonly kind: 'unigram' | 'bpe';
  readonly pieces: readonly Piece[];
  /** Id of the unknown piece. */
  readonly unknown: number;
  /** Whether what has no piece is written as bytes. */
  readonly byteFallback: boolean;
  /** Whether a space is put before the text. */
  readonly addsPrefix: boolean;
  /** Whether leading, trailing and repeated spaces are removed. */
  readonly removesSpaces: boolean;
  /** Replacements of characters, as a double array and texts; undefined for none. */
  readonly charsmap?: Uint8Array | undefined;
}

/** A SentencePiece file: the model, and ids of the pieces that begin and end a text, negative for none. */
export interface SentencePieceFile extends SentencePieceModel {
  readonly begin: number;
  readonly end: number;
}

/** Limit of a piece in UTF-16 units; SentencePiece trains pieces of at most 16 characters by default. */
const MAX_PIECE_LENGTH = 1024;
const MAX_PIECES = 2 ** 21;

/** `trainer_spec.model_type`. */
const KINDS: Readonly<Record<number, SentencePieceModel['kind']>> = { 1: 'unigram', 2: 'bpe' };

/**
 * Parses a SentencePiece model file: the message ModelProto of
 * https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto.
 * @throws {InputError} for a damaged file, and models that are neither unigram nor BPE.
 */
export function parseSentencePiece(bytes: Uint8Array, file: string): SentencePieceFile {
  const pieces: Piece[] = [];
  let trainer = new Map<number, MessageField>();
  let normalizer = new Map<number, MessageField>();
  for (const { number, bytes: inner } of messageFields(bytes, file)) {
    if (!inner) continue;
    if (number === 1) pieces.push(parsePiece(inner, pieces.length, file));
    if (number === 2) trainer = lastFields(inner, file);
    if (number === 3) normalizer = lastFields(inner, file);
  }
  if (!pieces.length) throw new InputError('not a SentencePiece model: it has no pieces', { file });
  const integer = (fields: Map<number, MessageField>, number: number, byDefault: number) =>
    fields.get(number)?.integer ?? byDefault;
  const kind = KINDS[integer(trainer, 3, 1)];
  if (!kind || integer(trainer, 24, 0) || !integer(normalizer, 5, 1))
    throw new InputError(
      'unsupported SentencePiece model: expected unigram or BPE with spaces written as ▁ before words',
      { file },
    );
  const charsmap = normalizer.get(2)?.bytes;
  return checkedPieces(
    {
      kind,
      pieces,
      unknown: integer(trainer, 40, 0),
      byteFallback: integer(trainer, 35, 0) !== 0,
      addsPrefix: integer(normalizer, 3, 1) !== 0,
      removesSpaces: integer(normalizer, 4, 1) !== 0,
      charsmap: charsmap?.length ? charsmap : undefined,
      begin: integer(trainer, 41, 1),
      end: integer(trainer, 42, 2),
    },
    file,
  );
}

/**
 * Returns a model after checking its pieces.
 * @throws {InputError} for too many or too long pieces, duplicates, and scores that are not finite.
 */
export function checkedPieces<Checked extends SentencePieceModel>(model: Checked, file: string): Checked {
  const { pieces, unknown, kind } = model;
  const fail = (what: string): never => {
    throw new InputError(`SentencePiece: ${what}`, { file });
  };
  if (pieces.length > MAX_PIECES) fail(`${pieces.length} pieces are over the limit of ${MAX_PIECES}`);
  const seen = new Set<string>();
  for (const [id, { text, score }] of pieces.entries()) {
    if (text.length > MAX_PIECE_LENGTH)
      fail(`piece ${id} of ${text.length} characters is over the limit of ${MAX_PIECE_LENGTH}`);
    if (!Number.isFinite(score)) fail(`piece ${id}, ${quote(text)}, has the score ${score}`);
    if (text && seen.has(text)) fail(`piece ${id}, ${quote(text)}, is a duplicate`);
    seen.add(text);
  }
  const isPiece = Number.isInteger(unknown) && unknown >= 0 && unknown < pieces.length;
  if (kind === 'unigram' && !isPiece) fail(`the unknown piece is ${unknown} of ${pieces.length}`);
  return model;
}

function parsePiece(message: Uint8Array, id: number, file: string): Piece {
  let [text, score, type]: [string, number, number] = ['', 0, PIECE_TYPES.normal];
  for (const { number, integer, float, bytes } of messageFields(message, file)) {
    if (number === 1 && bytes) text = decodeUtf8(bytes, `${file}, piece ${id}`);
    if (number === 2 && float !== undefined) score = float;
    if (number === 3 && integer !== undefined) type = integer;
  }
  return { text, score, type };
}

/** Returns the last field of each number: protocol buffers overwrite fields that are not repeated. */
function lastFields(message: Uint8Array, file: string): Map<number, MessageField> {
  const fields = new Map<number, MessageField>();
  for (const field of messageFields(message, file)) fields.set(field.number, field);
  return fields;
}
