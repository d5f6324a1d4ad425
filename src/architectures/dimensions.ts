import { InputError } from '../core/errors.js';
import type { Config } from '../core/json.js';

/** The dimensions that determine a model's size. */
export interface Dimensions {
  readonly layers: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly heads: number;
  /** Number of heads of keys and values; equal to `heads` without grouped queries. */
  readonly keyValueHeads: number;
  /** Features per head. */
  readonly headSize: number;
  /** Rows of the position table, or the maximum length of the input. */
  readonly positions: number;
  readonly vocabulary: number;
}

/** The dimensions that a config states. */
export type PartialDimensions = { readonly [What in keyof Dimensions]: number | undefined };

/** Keys of each dimension in config.json; names differ between families. */
const KEYS: Readonly<Record<keyof Dimensions, readonly string[]>> = {
  layers: ['num_hidden_layers', 'num_layers', 'n_layer', 'n_layers'],
  hiddenSize: ['hidden_size', 'n_embd', 'd_model', 'n_embed', 'dim'],
  intermediateSize: ['intermediate_size', 'n_inner', 'ffn_dim', 'd_ff', 'ffn_hidden_size', 'hidden_dim'],
  heads: ['num_attention_heads', 'num_heads', 'n_head', 'n_heads'],
  keyValueHeads: ['num_key_value_heads', 'num_kv_heads', 'n_head_kv', 'n_kv_heads'],
  headSize: ['head_dim', 'd_kv'],
  positions: ['max_position_embeddings', 'n_positions', 'n_ctx', 'max_seq_len', 'seq_length'],
  vocabulary: ['vocab_size'],
};

/** The fields of a config that dimensions are read from. */
export const FIELDS: readonly string[] = [
  ...Object.values(KEYS).flat(),
  ...['multi_query', 'new_decoder_architecture', 'multi_query_attention', 'multi_query_group_num'],
];

/** Limits about 100 times above the largest models; a config beyond them is a mistake or an attack. */
const MAX_DIMENSION = 100_000_000;
const MAX_LAYERS = 10_000;

/** Reads the dimensions that a config states or implies. */
export function readDimensions(config: Config): PartialDimensions {
  const given = Object.fromEntries(
    Object.entries(KEYS).map(([what, keys]) => [what, keys.map((key) => config[key]).find(isDimension)]),
  ) as { -readonly [What in keyof Dimensions]: number | undefined };
  const { hiddenSize, heads } = given;
  given.intermediateSize ??= hiddenSize && 4 * hiddenSize;
  given.keyValueHeads = sharedHeads(config) ?? given.keyValueHeads ?? heads;
  given.headSize ??= hiddenSize && heads && hiddenSize / heads;
  return given;
}

/**
 * Reads all dimensions of a config.
 * @param defaults those that a family assumes.
 * @throws {InputError} naming the keys of a dimension that is missing or invalid.
 */
export function requireDimensions(config: Config, defaults: Partial<Dimensions> = {}): Dimensions {
  const stated = Object.entries(readDimensions(config)).filter(([, value]) => value !== undefined);
  const found = { ...defaults, ...Object.fromEntries(stated) } as PartialDimensions;
  for (const [what, keys] of Object.entries(KEYS)) {
    const value = found[what as keyof Dimensions];
    if (value === undefined || !Number.isInteger(value))
      throw new InputError(
        `config.json: expected ${keys.join(' or ')} to be a positive integer, found ${value}`,
      );
  }
  const size = found as Dimensions;
  if (size.layers > MAX_LAYERS)
    throw new InputError(`config.json: ${size.layers} layers are over the limit of ${MAX_LAYERS}`);
  return size;
}

/** Returns the number of key and value heads by the keys of Falcon, GPT-BigCode and ChatGLM. */
function sharedHeads(config: Config): number | undefined {
  if (config.multi_query === true && config.new_decoder_architecture !== true) return 1;
  const { multi_query_attention: grouped, multi_query_group_num: groups } = config;
  return grouped === true && isDimension(groups) ? groups : undefined;
}

function isDimension(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= MAX_DIMENSION;
}
