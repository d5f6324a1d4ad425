import { InputError } from '../../core/errors.js';
import { type Config, kindOf, quote } from '../../core/json.js';
import { PIECE_TYPES } from '../../tokenizer/sentencepiece-model.js';
import type { GgufValue } from './header.js';

/** Keys and values of a GGUF file. */
export type Metadata = ReadonlyMap<string, GgufValue>;

/** Names of special tokens in GGUF's keys, and in tokenizer_config.json. */
export const SPECIAL_TOKENS = {
  bos: 'bos_token',
  eos: 'eos_token',
  unknown: 'unk_token',
  seperator: 'sep_token',
  padding: 'pad_token',
  mask: 'mask_token',
} as const;
type SpecialToken = keyof typeof SPECIAL_TOKENS;

/** Ids that llama.cpp uses for special tokens where the file names none, by the kind of tokenizer. */
const DEFAULT_IDS: Readonly<Record<string, Partial<Record<SpecialToken, number>>>> = {
  llama: { bos: 1, eos: 2, unknown: 0 },
  t5: { eos: 1, unknown: 2, padding: 0 },
  bert: { bos: 101, unknown: 100, seperator: 102, padding: 0, mask: 103 },
};

/** The tokens of a GGUF file and what is said of them. */
export class Vocabulary {
  readonly tokens: readonly string[];
  private readonly types: GgufValue | undefined;

  /** @param kind `tokenizer.ggml.model`. @throws {InputError} when tokens are not strings. */
  constructor(
    readonly metadata: Metadata,
    private readonly kind: string,
    readonly file: string,
  ) {
    this.tokens = textsOf(metadata, 'tokenizer.ggml.tokens', file);
    this.types = metadata.get('tokenizer.ggml.token_type');
  }

  /** Returns a token's type, one of `PIECE_TYPES`. */
  typeOf(id: number): number {
    return Array.isArray(this.types) ? Number(this.types[id]) : PIECE_TYPES.normal;
  }

  /** Returns a setting `tokenizer.ggml.KEY`. */
  flag(key: string, byDefault: boolean): boolean {
    return (this.metadata.get(`tokenizer.ggml.${key}`) ?? byDefault) === true;
  }

  /** Returns the id of a special token; -1 for none. */
  idOf(which: SpecialToken): number {
    return Number(
      this.metadata.get(`tokenizer.ggml.${which}_token_id`) ?? DEFAULT_IDS[this.kind]?.[which] ?? -1,
    );
  }

  /** Returns the text of a special token. */
  named(which: SpecialToken): string | undefined {
    return this.tokens[this.idOf(which)];
  }

  /** Returns tokenizer_config.json. */
  config(): Config {
    const template = this.metadata.get('tokenizer.chat_template');
    const named = Object.entries(SPECIAL_TOKENS).map(([which, key]) => [
      key,
      this.named(which as SpecialToken),
    ]);
    return {
      tokenizer_class: 'PreTrainedTokenizerFast',
      clean_up_tokenization_spaces: false,
      ...Object.fromEntries(named),
      ...(this.kind === 'bert' && { cls_token: this.named('bos') }),
      chat_template: typeof template === 'string' ? template : undefined,
    };
  }
}

/** Returns an array of strings. @throws {InputError} when it is anything else. */
export function textsOf(metadata: Metadata, key: string, file: string): readonly string[] {
  const value = metadata.get(key);
  if (!Array.isArray(value))
    throw new InputError(`${key}: expected an array of strings, found ${kindOf(value)}`, { file });
  const wrong = value.find((text) => typeof text !== 'string');
  if (wrong !== undefined)
    throw new InputError(`${key}: expected an array of strings, found the element ${quote(wrong)}`, { file });
  return value as string[];
}
