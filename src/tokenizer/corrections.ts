import { isPlainObject } from '../core/json.js';
import { Charsmap } from './charsmap.js';
import { Unigram, type UnigramDefinition } from './unigram.js';

/** The parts of the library's tokenizer that are corrected. */
interface Correctable {
  readonly normalizer: unknown;
  readonly pre_tokenizer: unknown;
  readonly model: unknown;
}

/**
 * Replaces what @huggingface/tokenizers approximates or is slow at, and returns the tokenizer: it takes every precompiled character map
 * for NFKC; ½ is no digit to it; its unigram model has no byte fallback and fails on long texts; its BPE takes 10 s per megabyte that is
 * not cut into words.
 * @throws {InputError} when a character map is damaged.
 */
export function correct<Tokenizer extends Correctable>(
  tokenizer: Tokenizer,
  { model }: Readonly<Record<string, unknown>>,
  file: string,
): Tokenizer {
  correctNormalizer(tokenizer.normalizer, file);
  correctDigits(tokenizer.pre_tokenizer);
  if (!isPlainObject(model)) return tokenizer;
  if (Array.isArray(model.vocab)) correctUnigram(tokenizer.model as LibraryModel, model);
  else if (Array.isArray(model.merges)) hastenBpe(tokenizer.model as LibraryModel, model);
  return tokenizer;
}

interface LibraryModel {
  encode(words: readonly string[]): string[];
  /** Returns the pieces of a word; BPE only. */
  bpe?(word: string): string[];
}

interface LibraryNormalizer {
  normalize(text: string): string;
  readonly charsmap?: unknown;
  readonly normalizers?: readonly (LibraryNormalizer | null)[];
}

function correctNormalizer(normalizer: unknown, file: string): void {
  const known = normalizer as LibraryNormalizer | null;
  for (const part of known?.normalizers ?? []) correctNormalizer(part, file);
  if (typeof known?.charsmap !== 'string') return;
  const bytes = Uint8Array.from(atob(known.charsmap), (character) => character.charCodeAt(0));
  const charsmap = new Charsmap(bytes, file);
  known.normalize = (text) => charsmap.normalize(text);
}

interface LibraryPreTokenizer {
  readonly config?: { readonly type?: string; readonly individual_digits?: boolean };
  readonly tokenizers?: readonly (LibraryPreTokenizer | null)[];
  pattern?: RegExp;
}

function correctDigits(preTokenizer: unknown): void {
  const known = preTokenizer as LibraryPreTokenizer | null;
  for (const part of known?.tokenizers ?? []) correctDigits(part);
  if (known?.config?.type === 'Digits')
    known.pattern = known.config.individual_digits ? /\P{N}+|\p{N}/gu : /\P{N}+|\p{N}+/gu;
}

function correctUnigram(model: LibraryModel, definition: object): void {
  const unigram = new Unigram(definition as UnigramDefinition);
  model.encode = (words) => words.flatMap((word) => unigram.split(word));
}

/** Shorter words are cut by the library, which remembers them. */
const LONG_WORD = 64;

/** Cuts long words between characters that no token has side by side: no merge can cross there, so the tokens stay the same. */
function hastenBpe(model: LibraryModel, definition: Readonly<Record<string, unknown>>): void {
  const { vocab, end_of_word_suffix, continuing_subword_suffix } = definition;
  if (!model.bpe || !isPlainObject(vocab) || end_of_word_suffix || continuing_subword_suffix) return;
  const bpe = model.bpe.bind(model);
  let joined: Set<string> | undefined;
  model.bpe = (word) => {
    if (word.length < LONG_WORD) return bpe(word);
    joined ??= neighbors(Object.keys(vocab));
    return cuts(word, joined).flatMap(bpe);
  };
}

/** Returns the pairs of UTF-16 units that are neighbors in a token. */
function neighbors(tokens: readonly string[]): Set<string> {
  const pairs = new Set<string>();
  for (const token of tokens) for (let i = 1; i < token.length; i++) pairs.add(token.slice(i - 1, i + 1));
  return pairs;
}

function cuts(word: string, joined: ReadonlySet<string>): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let i = 1; i < word.length; i++) {
    const isInside = isLowSurrogate(word.charCodeAt(i)) || joined.has(word.slice(i - 1, i + 1));
    if (isInside) continue;
    parts.push(word.slice(start, i));
    start = i;
  }
  parts.push(word.slice(start));
  return parts;
}

const isLowSurrogate = (unit: number): boolean => unit >= 0xdc00 && unit < 0xe000;
