import { InputError } from '../../errors.js';
import { quote } from '../../formats/json.js';
import type { Config } from '../../forward/family.js';

/** A positive number of the config. @throws {InputError} when it is there and is something else. */
export function number(config: Config, key: string, fallback: number): number {
  const value = config[key] ?? fallback;
  if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value;
  throw new InputError(`config.json: expected ${key} to be a positive number, found ${quote(value)}`);
}

/** As `number`, whole. @throws {InputError} */
export function integer(config: Config, key: string, fallback: number): number {
  const value = number(config, key, fallback);
  if (Number.isSafeInteger(value)) return value;
  throw new InputError(`config.json: expected ${key} to be an integer, found ${value}`);
}

/** Refuses settings that change the arithmetic in a way not built here. @throws {InputError} naming the first. */
export function refuse(config: Config, settings: Readonly<Record<string, readonly unknown[]>>): void {
  for (const [key, refused] of Object.entries(settings))
    if (refused.includes(config[key]))
      throw new InputError(`config.json: models with ${key} = ${quote(config[key])} cannot be run`);
}
