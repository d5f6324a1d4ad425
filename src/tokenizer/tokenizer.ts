import { Tokenizer } from '@huggingface/tokenizers';
import { InputError } from '../core/errors.js';
import { parseJsonObject } from '../core/json.js';
import { refusePointer } from '../core/lfs-pointer.js';
import type { Model } from '../core/model.js';
import { byteLevelBpe, contentOf } from './byte-level-bpe.js';
import { inTime } from './deadline.js';

/** What is used of the library, whose own declarations do not resolve under Node's module rules. */
interface HubTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  decode(ids: number[], options: object): string;
  token_to_id(token: string): number | undefined;
}

/** Text to token ids and back, as the model was trained. */
export interface TextTokenizer {
  /**
   * Ids of a whole text; with `special`, those that the model expects around it (such as a first token) too.
   * @throws {InputError} when an id lies beyond the model's vocabulary, or a pattern of the tokenizer does not come to an end.
   */
  encode(text: string, special?: boolean): number[];
  /** Text of ids, special tokens left out. */
  decode(ids: readonly number[]): string;
  /** The token that stands for a hidden one in masked models. */
  readonly maskToken: number | undefined;
}

/**
 * The tokenizer that travels with a model: `tokenizer.json`, or GPT-2's `vocab.json` and `merges.txt`.
 * @throws {InputError} when there is none or it is malformed.
 */
export async function loadTokenizer(model: Model): Promise<TextTokenizer> {
  const files = await readTokenizerFiles(model);
  if (!files)
    throw new InputError(
      model.kind === 'gguf'
        ? 'has no tokenizer that is converted: of GGUF files byte-level BPE is, SentencePiece is not'
        : 'has no tokenizer: neither tokenizer.json nor vocab.json and merges.txt',
      { file: model.id },
    );
  const { definition, config } = files;
  const tokenizer = make(definition, config, model.id);
  // to be ready to stop takes 0.1 ms, which a token of a small model would notice
  const decodesByPattern = JSON.stringify(definition.decoder ?? null).includes('"Regex"');
  const late = (what: string) => (seconds: number) =>
    new InputError(`tokenizer.json: ${what} did not come to an end within ${seconds} seconds`, {
      file: model.id,
    });
  return {
    encode: (text, special = false) => {
      const encode = () =>
        usable(() => tokenizer.encode(text, { add_special_tokens: special }).ids, model.id);
      const ids = inTime(text.length, encode, late(`tokenizing ${text.length} characters`));
      return withinVocabulary(ids, model);
    },
    decode: (ids) => {
      const decode = () => usable(() => tokenizer.decode([...ids], AS_WRITTEN), model.id);
      if (!ids.length) return '';
      return decodesByPattern
        ? inTime(ids.length, decode, late(`the text of ${ids.length} tokens`))
        : decode();
    },
    maskToken: tokenizer.token_to_id(contentOf(config.mask_token) ?? '<mask>'),
  };
}

/**
 * What travels with a model as `tokenizer.json` and `tokenizer_config.json`, or amounts to it; undefined when there is none.
 * @throws {InputError} when it is malformed.
 */
export async function readTokenizerFiles(model: Model): Promise<TokenizerFiles | undefined> {
  const config = (await readJson(model, 'tokenizer_config.json')) ?? {};
  const definition = (await readJson(model, 'tokenizer.json')) ?? (await readByteLevelBpe(model, config));
  return definition && { definition, config };
}

export interface TokenizerFiles {
  readonly definition: Readonly<Record<string, unknown>>;
  readonly config: Readonly<Record<string, unknown>>;
}

const AS_WRITTEN = { skip_special_tokens: true, clean_up_tokenization_spaces: false };

async function readFile(model: Model, name: string): Promise<Uint8Array | undefined> {
  const bytes = await model.sideFiles.find((file) => file.name === name)?.read();
  if (bytes) refusePointer(bytes, `${model.id}, ${name}`);
  return bytes;
}

async function readJson(model: Model, name: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  const bytes = await readFile(model, name);
  return bytes && parseJsonObject(bytes, `${model.id}, ${name}`).value;
}

async function readByteLevelBpe(model: Model, config: Readonly<Record<string, unknown>>) {
  const vocabulary = await readJson(model, 'vocab.json');
  const merges = await readFile(model, 'merges.txt');
  return vocabulary && merges && byteLevelBpe(vocabulary, merges, config, model.id);
}

function make(definition: object, config: object, file: string): HubTokenizer {
  return usable(() => new Tokenizer(definition, config), file);
}

/** What the library makes of a definition, which it does not check before it uses it. @throws {InputError} where it cannot. */
function usable<Result>(work: () => Result, file: string): Result {
  try {
    return work();
  } catch (error) {
    throw new InputError(
      `its tokenizer cannot be used (${(error as Error).message})`,
      { file },
      { cause: error },
    );
  }
}

function withinVocabulary(ids: number[], { config, id: file }: Model): number[] {
  const vocabulary = config?.vocab_size;
  if (!ids.every((id) => Number.isSafeInteger(id) && id >= 0))
    throw new InputError('the tokenizer gives tokens that are no numbers of a vocabulary', { file });
  if (typeof vocabulary !== 'number') return ids;
  const beyond = ids.find((id) => id >= vocabulary);
  if (beyond === undefined) return ids;
  throw new InputError(
    `the tokenizer does not fit the model: it gives token ${beyond}, the vocabulary has ${vocabulary}`,
    { file },
  );
}
