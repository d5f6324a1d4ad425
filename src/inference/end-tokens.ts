import { InputError } from '../core/errors.js';
import { parseJsonObject, quote } from '../core/json.js';
import type { Model } from '../core/model.js';
import { readSideFile } from '../core/side-file.js';

/** Name of the generation config; for chat models it lists more end tokens than config.json. */
const GENERATION_CONFIG = 'generation_config.json';

/**
 * Returns a model's end tokens: the `eos_token_id` of generation_config.json and of config.json, each a number or a list.
 * @throws {InputError} when one is anything else, or the file is not JSON.
 */
export async function endTokensOf(model: Model): Promise<readonly number[]> {
  const { id, config } = model;
  const file = await readSideFile(model, GENERATION_CONFIG);
  const generation = file && parseJsonObject(file, `${id}, ${GENERATION_CONFIG}`).value;
  const found = [
    ...idsOf(generation?.eos_token_id, `${id}, ${GENERATION_CONFIG}`),
    ...idsOf(config?.eos_token_id, `${id}, config.json`),
  ];
  return [...new Set(found)];
}

function idsOf(value: unknown, file: string): number[] {
  if (value === undefined || value === null) return [];
  const ids: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (ids.every((token): token is number => Number.isSafeInteger(token))) return [...ids] as number[];
  throw new InputError(`expected eos_token_id to be a token id or a list of them, found ${quote(value)}`, {
    file,
  });
}
