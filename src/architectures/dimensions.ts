import { InputError } from '../core/errors.js';

type Config = Readonly<Record<string, unknown>>;

/** The numbers that a model's size follows from. */
export interface Dimensions {
  readonly layers: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly heads: number;
  /** Equal to `heads` unless queries share keys and values. */
  readonly keyValueHeads: number;
  /** Features of one head. */
  readonly headSize: number;
  /** Rows of the position table, or the longest input. */
  readonly positions: number;
  readonly vocabulary: number;
}

/** What a config says of them. */
export type PartialDimensions = { readonly [What in keyof Dimensions]: number | undefined };

/** What each number is called in config.json; families have their own words. */
const KEYS: Readonly<Record<keyof Dimensions, readonly string[]>> = {
  layers: ['num_hidden_layers', 'num_layers', 'n_layer', 'n_layers'],
  hiddenSize: ['hidden_size', 'n_embd', 'd_model'],
  intermediateSize: ['intermediate_size', 'n_inner', 'ffn_dim', 'd_ff'],
  heads: ['num_attention_heads', 'num_heads', 'n_head', 'n_heads'],
  keyValueHeads: ['num_key_value_heads', 'num_kv_heads', 'n_head_kv', 'n_kv_heads'],
  headSize: ['head_dim', 'd_kv'],
  positions: ['max_position_embeddings', 'n_positions', 'n_ctx', 'max_seq_len'],
  vocabulary: ['vocab_size'],
};

/** Above this a config is a mistake or an attack; the largest models have numbers some 100 times smaller. */
const LIMIT = 100_000_000;
const LAYERS_LIMIT = 10_000;

/** The numbers that the config gives, and those that follow from them where it gives none. */
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
 * The numbers of a config, all of them.
 * @throws {InputError} naming the keys of what is missing or makes no sense.
 */
export function requireDimensions(config: Config): Dimensions {
  const found = readDimensions(config);
  for (const [what, keys] of Object.entries(KEYS)) {
    const value = found[what as keyof Dimensions];
    if (value === undefined || !Number.isInteger(value))
      throw new InputError(
        `config.json: expected ${keys.join(' or ')} to be a positive integer, found ${value}`,
      );
  }
  const size = found as Dimensions;
  if (size.layers > LAYERS_LIMIT)
    throw new InputError(`config.json: ${size.layers} layers are over the limit of ${LAYERS_LIMIT}`);
  return size;
}

/** Heads of keys and values where all queries share them, or groups do, by the names of Falcon, GPT-BigCode and ChatGLM. */
function sharedHeads(config: Config): number | undefined {
  if (config.multi_query === true && config.new_decoder_architecture !== true) return 1;
  const { multi_query_attention: grouped, multi_query_group_num: groups } = config;
  return grouped === true && isDimension(groups) ? groups : undefined;
}

function isDimension(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= LIMIT;
}
