import { Tokenizer } from '@huggingface/tokenizers';
import { InputError } from '../core/errors.js';
import type { Config } from '../core/json.js';
import type { Model } from '../core/model.js';
import { contentOf } from './byte-level-bpe.js';
import { correct } from './corrections.js';
import { withDeadline } from './deadline.js';
import { readTokenizerFiles } from './files.js';

/** The part of the library that is used; its own declarations do not resolve under Node's module rules. */
interface HubTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  decode(ids: number[], options: object): string;
  token_to_id(token: string): number | undefined;
}

/** Converts text to token ids and back. */
export interface TextTokenizer {
  /**
   * Returns the token ids of a text; with `special`, including special tokens around it, such as BOS.
   * @throws {InputError} when an id is outside the model's vocabulary, or tokenizing exceeds its time limit.
   */
  encode(text: string, special?: boolean): number[];
  /** Returns the text of token ids, without special tokens. */
  decode(ids: readonly number[]): string;
  /** Returns the id of a token by its text in the vocabulary. */
  idOf(token: string): number | undefined;
  /** The mask token of masked models. */
  readonly maskToken: number | undefined;
  /** The special token that comes before every text, such as BOS; undefined if there is none. */
  readonly firstToken: number | undefined;
  /** The token that tokenizer_config.json names as the end of texts. */
  readonly endToken: number | undefined;
}

/**
 * Loads a model's tokenizer from `tokenizer.json`, GPT-2's `vocab.json` and `merges.txt`, SentencePiece's `tokenizer.model`, or BERT's
 * `vocab.txt`.
 * @throws {InputError} when there is none or it is malformed.
 */
export async function loadTokenizer(model: Model): Promise<TextTokenizer> {
  const files = await readTokenizerFiles(model);
  if (!files)
    throw new InputError(
      model.notRun ??
        (model.kind === 'gguf'
          ? 'unsupported tokenizer in a GGUF file: expected byte-level BPE, SentencePiece or WordPiece'
          : 'has no tokenizer: expected tokenizer.json, tokenizer.model, vocab.txt, or vocab.json and merges.txt'),
      { file: model.id },
    );
  const { definition, config } = files;
  const tokenizer = make(definition, config, model.id);
  // a deadline costs 0.1 ms, which is noticeable per token of a small model
  const decodesByPattern = JSON.stringify(definition.decoder ?? null).includes('"Regex"');
  const timeout = (what: string) => (seconds: number) =>
    new InputError(`tokenizer.json: ${what} took over ${seconds} s`, {
      file: model.id,
    });
  return {
    encode: (text, special = false) => {
      const encode = () =>
        usable(() => tokenizer.encode(text, { add_special_tokens: special }).ids, model.id);
      const ids = withDeadline(text.length, encode, timeout(`tokenizing ${text.length} characters`));
      return checkVocabulary(ids, model);
    },
    decode: (ids) => {
      const decode = () => usable(() => tokenizer.decode([...ids], AS_WRITTEN), model.id);
      if (!ids.length) return '';
      return decodesByPattern
        ? withDeadline(ids.length, decode, timeout(`decoding ${ids.length} tokens`))
        : decode();
    },
    idOf: (token) => tokenizer.token_to_id(token),
    maskToken: tokenizer.token_to_id(contentOf(config.mask_token) ?? '<mask>'),
    get firstToken() {
      const encode = (special: boolean) => tokenizer.encode('a', { add_special_tokens: special }).ids;
      return usable(() => firstTokenOf(encode), model.id);
    },
    endToken: tokenizer.token_to_id(contentOf(config.eos_token) ?? ''),
  };
}

/** Returns the only token that special tokens put before a text. @param encode a text with or without special tokens. */
function firstTokenOf(encode: (special: boolean) => number[]): number | undefined {
  const [whole, plain] = [encode(true), encode(false)];
  const isFirst = whole.length === plain.length + 1 && plain.every((id, i) => id === whole[i + 1]);
  return isFirst ? whole[0] : undefined;
}

const AS_WRITTEN = { skip_special_tokens: true, clean_up_tokenization_spaces: false };

function make(definition: Config, config: object, file: string): HubTokenizer {
  return usable(() => correct(new Tokenizer(definition, config), definition, file), file);
}

/** Calls the library, which does not check tokenizer files, and converts its errors. @throws {InputError} */
function usable<Result>(action: () => Result, file: string): Result {
  try {
    return action();
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`invalid tokenizer (${(error as Error).message})`, { file }, { cause: error });
  }
}

/** Returns token ids after checking them. @throws {InputError} when one is outside the model's vocabulary. */
function checkVocabulary(ids: number[], { config, id: file }: Model): number[] {
  const vocabulary = config?.vocab_size;
  if (!ids.every((id) => Number.isSafeInteger(id) && id >= 0))
    throw new InputError('invalid tokenizer: token ids must be non-negative integers', { file });
  if (typeof vocabulary !== 'number') return ids;
  const beyond = ids.find((id) => id >= vocabulary);
  if (beyond === undefined) return ids;
  throw new InputError(
    `the tokenizer does not match the model: token id ${beyond}, vocabulary of ${vocabulary}`,
    { file },
  );
}
