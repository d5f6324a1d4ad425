import { InputError } from '../../core/errors.js';
import type { Config } from '../../core/json.js';
import { parseJsonObject } from '../../core/json.js';
import type { Model } from '../../core/model.js';
import { readTokenizerFiles } from '../../tokenizer/files.js';
import type { GgufValue } from './header.js';
import type { GgufEntry } from './header-writer.js';

/**
 * Keys of the files that a GGUF file has where its tensors have the checkpoint's names and order: llama.cpp does not know such a model, but
 * it can be measured.
 */
const PREFIX = 'weightpress.file.';
const CONFIG = 'config.json';
const FILES = [CONFIG, 'tokenizer.json', 'tokenizer_config.json'] as const;

/** Readers refuse longer strings. */
const MAX_TEXT_BYTES = 2 ** 24;

/** Returns the entries of a model's config and tokenizer. @throws {InputError} when one is malformed or too long. */
export async function fileEntries(model: Model): Promise<GgufEntry[]> {
  const tokenizer = await readTokenizerFiles(model);
  const contents = [model.config, tokenizer?.definition, tokenizer?.config];
  return FILES.flatMap((name, i) => {
    if (!contents[i]) return [];
    const value = JSON.stringify(contents[i]);
    if (value.length > MAX_TEXT_BYTES / 4)
      throw new InputError(`${name} is too long for a GGUF file`, { file: model.id });
    return [{ key: PREFIX + name, type: 'string', value } as const];
  });
}

/** Returns the config and the files of a GGUF file that {@link fileEntries} are in; undefined for others. @throws {InputError} when malformed. */
export function ownFiles(
  metadata: ReadonlyMap<string, GgufValue>,
  file: string,
): { readonly config: Config; readonly texts: ReadonlyMap<string, string> } | undefined {
  const texts = new Map<string, string>();
  for (const name of FILES) {
    const value = metadata.get(PREFIX + name);
    if (typeof value === 'string') texts.set(name, value);
  }
  const config = texts.get(CONFIG);
  if (config === undefined) return undefined;
  return { config: parseJsonObject(new TextEncoder().encode(config), `${file}, ${CONFIG}`).value, texts };
}
