import { InputError } from '../core/errors.js';
import { quote } from '../core/json.js';
import type { ConfigReader } from './config-reader.js';
import type { Dimensions } from './dimensions.js';
import { ROPE_FIELDS, type RopeDefaults, readRope } from './rope.js';
import { type Rotary, rotaryOf } from './rotary.js';

/** Values of `layer_types`. */
export const FULL = 'full_attention';
export const SLIDING = 'sliding_attention';

/**
 * Returns each layer's type, from `layer_types` or, in older configs, from another rule. @throws {InputError} for other names or too few.
 */
export function layerTypes(
  c: ConfigReader,
  { layers }: Dimensions,
  byDefault: (layer: number) => string,
  allowed: readonly string[] = [FULL, SLIDING],
): readonly string[] {
  const given = c.value('layer_types') ?? Array.from({ length: layers }, (_, layer) => byDefault(layer));
  if (Array.isArray(given) && given.length === layers && given.every((kind) => allowed.includes(kind)))
    return given;
  throw new InputError(
    `config.json: expected layer_types to be ${allowed.join(' or ')} for each of ${layers} layers, found ${quote(given)}`,
  );
}

/** Returns `sliding_window`; null and 0 mean none. @throws {InputError} when it is no positive integer. */
export function slidingWindow(c: ConfigReader, fallback?: number): number | undefined {
  const given = c.config.sliding_window;
  if (given === null || given === 0) return void c.skip('sliding_window');
  return c.integer('sliding_window', fallback);
}

/** Refuses sliding layers without a window, as the reference implementation does. @throws {InputError} */
export function windows(types: readonly string[], window: number | undefined): (number | undefined)[] {
  if (window === undefined && types.includes(SLIDING))
    throw new InputError(
      `config.json: layer_types has ${SLIDING}, which needs sliding_window (and use_sliding_window in qwen2)`,
    );
  return types.map((type) => (type === SLIDING ? window : undefined));
}

/**
 * Returns the rotation of each head's features.
 * @param features of a head. @throws {InputError} for an odd number, and for a share where `whole` heads must be rotated.
 */
export function rotary(
  c: ConfigReader,
  features: number,
  { whole = false, ...defaults }: RopeDefaults & { readonly whole?: boolean } = {},
): Rotary {
  c.skip(...ROPE_FIELDS);
  const rope = readRope(c.config, defaults);
  if (whole && rope.share !== 1)
    throw new InputError(
      `config.json: unsupported setting partial_rotary_factor = ${rope.share} for this family`,
    );
  if (whole && features % 2)
    throw new InputError(`config.json: rotary positions need an even head size, found ${features}`);
  const size = Math.floor(features * rope.share);
  if (size >= 2 && size <= features && size % 2 === 0) return rotaryOf(rope, size);
  throw new InputError(
    `config.json: expected rotary_pct to give an even number of a head's ${features} features, found ${rope.share}`,
  );
}

/** Checks that heads can share keys. @throws {InputError} */
export function checkHeads({ heads, keyValueHeads }: Dimensions): void {
  if (heads % keyValueHeads)
    throw new InputError(
      `config.json: expected num_attention_heads to be a multiple of num_key_value_heads, found ${heads} and ${keyValueHeads}`,
    );
}

/** Returns an array with one value for each layer. */
export function forLayers<Value>({ layers }: Dimensions, value: (layer: number) => Value): Value[] {
  return Array.from({ length: layers }, (_, layer) => value(layer));
}
