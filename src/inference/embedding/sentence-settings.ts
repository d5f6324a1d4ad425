import { InputError } from '../../core/errors.js';
import { isPlainObject, quote } from '../../core/json.js';
import type { Model } from '../../core/model.js';
import { placeOf, readObject } from './module-files.js';

/** How sentences become tokens. */
export interface SentenceSettings {
  /** Maximum tokens of a sentence, special tokens included; undefined for what the model can read. */
  readonly maxTokens: number | undefined;
  /** Whether sentences are set in lower case first. */
  readonly lowerCase: boolean;
  /** Texts put before sentences, by name. */
  readonly prompts: Readonly<Record<string, string>>;
  /** Name of the prompt that is used unless another is asked for. */
  readonly defaultPrompt: string | undefined;
}

/** The settings' file, under the names that sentence-transformers has given it. */
const SETTINGS_FILES = ['bert', 'roberta', 'distilbert', 'camembert', 'albert', 'xlm-roberta', 'xlnet'].map(
  (type) => `sentence_${type}_config.json`,
);
const PROMPTS_FILE = 'config_sentence_transformers.json';

/** Settings that do not change an embedding when they are as here. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  transformer_task: ['feature-extraction'],
  module_output_name: ['token_embeddings'],
  unpad_inputs: [true, false],
};

/** Reads the settings. @throws {InputError} for one that is malformed or not known. */
export async function readSentenceSettings(model: Model): Promise<SentenceSettings> {
  const name = SETTINGS_FILES.find((file) => model.sideFiles.some((side) => side.name === file));
  const settings = (name !== undefined && (await readObject(model, name))) || {};
  const place = placeOf(model, name ?? '');
  const { max_seq_length: maximum, do_lower_case: lower = false, modality_config, ...others } = settings;
  for (const [key, value] of Object.entries(others)) {
    const isEmpty = value === null || (isPlainObject(value) && !Object.keys(value).length);
    if (!isEmpty && !NEUTRAL[key]?.includes(value))
      throw new InputError(`unsupported setting ${key} = ${quote(value)}`, place);
  }
  if (typeof lower !== 'boolean')
    throw new InputError(`expected do_lower_case to be true or false, found ${quote(lower)}`, place);
  return {
    maxTokens: lengthOf(maximum, place) ?? (await tokenizerLength(model)),
    lowerCase: lower,
    ...(await readPrompts(model)),
  };
}

function lengthOf(value: unknown, place: { readonly file: string }): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (Number.isSafeInteger(value) && (value as number) > 2) return value as number;
  throw new InputError(`expected max_seq_length to be an integer above 2, found ${quote(value)}`, place);
}

/** Returns the tokenizer's own maximum; tokenizers without one state a huge number. */
async function tokenizerLength(model: Model): Promise<number | undefined> {
  const { model_max_length: length } = (await readObject(model, 'tokenizer_config.json')) ?? {};
  return Number.isSafeInteger(length) && (length as number) > 2 ? (length as number) : undefined;
}

async function readPrompts(model: Model): Promise<Pick<SentenceSettings, 'prompts' | 'defaultPrompt'>> {
  const { prompts, default_prompt_name: name } = (await readObject(model, PROMPTS_FILE)) ?? {};
  const place = placeOf(model, PROMPTS_FILE);
  const known = prompts ?? {};
  if (!isPlainObject(known) || !Object.values(known).every((prompt) => typeof prompt === 'string'))
    throw new InputError(`expected prompts to be texts by name, found ${quote(prompts)}`, place);
  if (name !== undefined && name !== null && !(typeof name === 'string' && Object.hasOwn(known, name)))
    throw new InputError(
      `expected default_prompt_name to be one of the prompts, found ${quote(name)}`,
      place,
    );
  return { prompts: known as Readonly<Record<string, string>>, defaultPrompt: (name as string) ?? undefined };
}
