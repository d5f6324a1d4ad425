import { InputError } from '../../core/errors.js';
import type { Config } from '../../core/json.js';
import { sentencePieceTokenizer } from '../../tokenizer/sentencepiece.js';
import { checkedPieces, PIECE_TYPES, type SentencePieceModel } from '../../tokenizer/sentencepiece-model.js';
import { wordPieceTokenizer } from '../../tokenizer/word-piece.js';
import type { Vocabulary } from './vocabulary.js';

/** How SentencePiece writes a space. */
export const SPACE = '▁';

/**
 * Converts SentencePiece's vocabulary: `llama` is BPE, `t5` unigram. Defaults are llama.cpp's.
 * @throws {InputError} when scores are missing or pieces are malformed.
 */
export function sentencePiece(read: Vocabulary, kind: SentencePieceModel['kind']): Config {
  const { metadata, tokens, file } = read;
  const scores = metadata.get('tokenizer.ggml.scores');
  if (!Array.isArray(scores) || scores.length < tokens.length)
    throw new InputError(`tokenizer.ggml.scores: expected ${tokens.length} numbers`, { file });
  const pieces = tokens.map((token, id) => {
    const type = read.typeOf(id);
    // llama.cpp looks for what users defined in text that has spaces still
    const text = type === PIECE_TYPES.userDefined ? token.replaceAll(' ', SPACE) : token;
    return { text, score: Number(scores[id]), type };
  });
  const map = metadata.get('tokenizer.ggml.precompiled_charsmap');
  const model = checkedPieces(
    {
      kind,
      pieces,
      unknown: read.idOf('unknown'),
      byteFallback: pieces.some(({ type }) => type === PIECE_TYPES.byte),
      addsPrefix: read.flag('add_space_prefix', kind === 'bpe'),
      removesSpaces: read.flag('remove_extra_whitespaces', false),
      charsmap: Array.isArray(map) && map.length ? Uint8Array.from(map as number[]) : undefined,
    },
    file,
  );
  const begin = read.flag('add_bos_token', kind === 'bpe') ? read.named('bos') : undefined;
  const end = read.flag('add_eos_token', kind === 'unigram') ? read.named('eos') : undefined;
  const around = {
    prefix: begin === undefined ? [] : [begin],
    suffix: end === undefined ? [] : [end],
    added: [],
    prefixesAll: true,
  };
  return sentencePieceTokenizer(model, around, file);
}

/** Converts WordPiece's vocabulary: GGUF marks tokens that begin a word, BERT those within one. @throws {InputError} */
export function wordPiece(read: Vocabulary): Config {
  const tokens = read.tokens.map((token, id) => {
    if (read.typeOf(id) === PIECE_TYPES.control) return token;
    return token.startsWith(SPACE) ? token.slice(SPACE.length) : `##${token}`;
  });
  const lowercase = read.flag('normalizer.lowercase', true);
  const normalization = {
    lowercase,
    strip_accents: read.flag('normalizer.strip_accents', lowercase),
    handle_chinese_chars: true,
  };
  return wordPieceTokenizer(tokens, read.config(), normalization, read.file);
}
