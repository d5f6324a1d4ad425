import { InputError } from '../../core/errors.js';
import { type Config, isPlainObject, quote } from '../../core/json.js';
import { PIECE_TYPES } from '../../tokenizer/sentencepiece-model.js';
import type { GgufEntry } from './header-writer.js';

/** What a kind of tokenizer needs beside tokens and their types. */
export interface Written {
  readonly entries: { readonly model: string; readonly more: readonly GgufEntry[] };
  /** `tokenizer.ggml.pre`. */
  readonly pre: string;
  /** Whether llama.cpp adds the tokens around a text that the file names, rather than those of its default. */
  readonly ends: boolean;
}

/** The tokens of a tokenizer.json in order of ids, as GGUF lists them. */
export class TokenList {
  /** `type` of the model. */
  readonly kind: string;
  readonly tokens: string[];
  /** Of `PIECE_TYPES`. */
  readonly types: number[];
  /** Scores of a unigram model; empty for others. */
  readonly scores: ReadonlyMap<string, number>;
  readonly model: Config;

  /**
   * @param size rows of the embedding; ids that the tokenizer leaves out are unused.
   * @throws {InputError} when the vocabulary is malformed or does not fit.
   */
  constructor(
    definition: Config,
    readonly size: number,
    private readonly file: string,
  ) {
    this.model = isPlainObject(definition.model) ? definition.model : {};
    const { vocab } = this.model;
    const scored = Array.isArray(vocab) ? vocab.map((entry, id) => this.scored(entry, id)) : undefined;
    this.kind = String(this.model.type ?? (scored && 'Unigram'));
    this.tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
    this.types = new Array(size).fill(PIECE_TYPES.unused);
    this.scores = new Map(scored);
    const ids = scored?.map(([text], id) => [text, id] as const);
    for (const [content, id] of ids ?? Object.entries(isPlainObject(vocab) ? vocab : {}))
      this.set(content, id, PIECE_TYPES.normal);
    for (const token of Array.isArray(definition.added_tokens) ? definition.added_tokens : []) {
      const { content, id, special } = isPlainObject(token) ? token : {};
      this.set(content, id, special === false ? PIECE_TYPES.userDefined : PIECE_TYPES.control);
    }
  }

  private scored(entry: unknown, id: number): [string, number] {
    if (Array.isArray(entry) && typeof entry[0] === 'string' && Number.isFinite(entry[1]))
      return [entry[0], entry[1]];
    throw new InputError(
      `tokenizer.json: expected a text and a score of token ${id}, found ${quote(entry)}`,
      {
        file: this.file,
      },
    );
  }

  /** Returns the merges of a BPE model as pairs; tokenizer.json has pairs or, in older files, strings. @throws {InputError} */
  merges(): [string, string][] {
    const { merges } = this.model;
    if (!Array.isArray(merges))
      throw new InputError('tokenizer.json: BPE without merges', { file: this.file });
    return merges.map((merge) => {
      const pair = typeof merge === 'string' ? merge.split(' ') : merge;
      if (
        Array.isArray(pair) &&
        pair.length === 2 &&
        pair.every((token) => typeof token === 'string' && /^[^ ]+$/.test(token))
      )
        return pair as [string, string];
      throw new InputError(
        `tokenizer.json: expected merges to be pairs of tokens without spaces, found ${quote(merge)}`,
        { file: this.file },
      );
    });
  }

  private set(content: unknown, id: unknown, type: number): void {
    const { size, file } = this;
    const fits = Number.isSafeInteger(id) && (id as number) >= 0 && (id as number) < size;
    if (!fits || typeof content !== 'string')
      throw new InputError(
        `the tokenizer does not match the model: token ${quote(content)} has id ${quote(id)}, vocabulary of ${size}`,
        { file },
      );
    this.tokens[id as number] = content;
    this.types[id as number] = type;
  }
}
