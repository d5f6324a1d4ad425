import { InputError } from '../core/errors.js';
import type { Config } from '../core/json.js';
import { isPlainObject, quote } from '../core/json.js';
import { isHarmless } from './harmless.js';

/**
 * Reads fields of a config and remembers which, so that those that nobody asked for can be refused: a forward pass that ignores a field
 * may compute something else than the model does.
 */
export class ConfigReader {
  private readonly asked = new Set<string>();

  constructor(readonly config: Config) {}

  /** Returns the value of a field of any type; null is undefined. */
  value(key: string): unknown {
    this.asked.add(key);
    return this.config[key] ?? undefined;
  }

  /** Returns a positive number, or the fallback. @throws {InputError} when it is anything else. */
  number<Fallback extends number | undefined>(key: string, fallback: Fallback): number | Fallback {
    const value = this.value(key);
    if (value === undefined) return fallback;
    if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value;
    throw this.unexpected(key, 'a positive number');
  }

  /** Returns a positive integer, or the fallback. @throws {InputError} when it is anything else. */
  integer<Fallback extends number | undefined>(key: string, fallback: Fallback): number | Fallback {
    const value = this.number(key, fallback);
    if (value === undefined || Number.isSafeInteger(value)) return value;
    throw this.unexpected(key, 'an integer');
  }

  /** Returns a positive number, the fallback if the field is missing, or undefined if it is null, which means none. @throws {InputError} */
  orNone(key: string, fallback: number | undefined): number | undefined {
    return this.config[key] === null ? void this.skip(key) : this.number(key, fallback);
  }

  /** Returns an integer from 0, or the fallback. @throws {InputError} when it is anything else. */
  count(key: string, fallback: number): number {
    return this.value(key) === 0 ? 0 : this.integer(key, fallback);
  }

  /** Returns a boolean, or the fallback. @throws {InputError} when it is anything else. */
  flag(key: string, fallback: boolean): boolean {
    const value = this.value(key) ?? fallback;
    if (typeof value === 'boolean') return value;
    throw this.unexpected(key, 'true or false');
  }

  /** Returns a string, or the fallback. @throws {InputError} when it is anything else. */
  text(key: string, fallback: string): string {
    const value = this.value(key) ?? fallback;
    if (typeof value === 'string') return value;
    throw this.unexpected(key, 'a string');
  }

  /** Returns one of the allowed values, or the first. @throws {InputError} naming them. */
  one<const Allowed extends string>(key: string, ...allowed: readonly Allowed[]): Allowed {
    const value = this.value(key) ?? allowed[0];
    const found = allowed.find((one) => one === value);
    if (found !== undefined) return found;
    throw this.unexpected(key, `one of ${allowed.join(', ')}`);
  }

  /** Returns a list of a given length; undefined if the field is missing. @throws {InputError} when it is anything else. */
  list(key: string, length: number): readonly unknown[] | undefined {
    const value = this.value(key);
    if (value === undefined || (Array.isArray(value) && value.length === length)) return value as unknown[];
    throw this.unexpected(key, `a list of ${length} values`);
  }

  /** Refuses a field with any other value. @throws {InputError} */
  only(key: string, ...allowed: readonly unknown[]): void {
    const value = this.value(key);
    if (value !== undefined && !allowed.includes(value))
      throw new InputError(`config.json: unsupported setting ${key} = ${quote(value)}`);
  }

  /** Returns a reader of another config whose fields count as read here. */
  of(config: Config): ConfigReader {
    this.skip(...Object.keys(config).filter((key) => this.config[key] !== config[key]));
    return new ConfigReader(config);
  }

  /** Marks fields that were read elsewhere, or do not change the computation in this family. */
  skip(...keys: readonly string[]): void {
    for (const key of keys) this.asked.add(key);
  }

  /** Refuses fields that nobody asked for, unless they do not change what a model computes. @throws {InputError} naming the first. */
  refuseRest(): void {
    for (const [key, value] of Object.entries(this.config))
      if (!this.asked.has(key) && !isHarmless(key, value))
        throw new InputError(`config.json: unsupported setting ${key} = ${quote(value)}`);
  }

  private unexpected(key: string, expected: string): InputError {
    return new InputError(`config.json: expected ${key} to be ${expected}, found ${quote(this.config[key])}`);
  }
}

/** Returns the config of the language model: multimodal models have it in `text_config`. */
export function textConfigOf(config: Config): Config {
  return isPlainObject(config.text_config) ? config.text_config : config;
}
