import { InputError } from '../core/errors.js';
import type { Config } from '../core/json.js';
import { isPlainObject, quote } from '../core/json.js';

type Settings = Readonly<Record<string, unknown>>;

/** How rotary frequencies are rescaled for longer contexts than in training. */
export type RopeScaling =
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | { readonly type: 'dynamic'; readonly factor: number; readonly positions: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalPositions: number;
    }
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly fast: number;
      readonly slow: number;
      readonly truncate: boolean;
      readonly originalPositions: number;
      /** Multiplies cosines and sines. */
      readonly magnitude: number;
      /** Multiplies the scores of DeepSeek's attention. */
      readonly scoreScale: number;
    }
  | {
      readonly type: 'longrope';
      readonly short: readonly number[];
      readonly long: readonly number[];
      readonly originalPositions: number;
      readonly magnitude: number;
    };

/** Rotary position settings of a config. */
export interface Rope {
  readonly base: number;
  /** Share of each head's features that are rotated. */
  readonly share: number;
  readonly scaling: RopeScaling;
}

/** What a family's reference implementation assumes where a config says nothing, and which of several settings is wanted. */
export interface RopeDefaults {
  /** Default share of rotated features, 1 if missing. */
  readonly defaultShare?: number;
  readonly defaultBase?: number;
  /** Context of training where a config does not give it beside the settings. */
  readonly defaultOriginal?: number;
  /** Key of the settings for one type of layers, such as `sliding_attention`; without it, all types must agree. */
  readonly layerType?: string;
}

const DEFAULT_BASE = 10_000;

/** Keys of each number, in `rope_parameters` or at the top level. */
const BASE_KEYS = ['rope_theta', 'rotary_emb_base'];
const SHARE_KEYS = ['partial_rotary_factor', 'rotary_pct'];

/** Fields of a config that {@link readRope} reads. */
export const ROPE_FIELDS: readonly string[] = [
  'rope_parameters',
  'rope_scaling',
  ...BASE_KEYS,
  ...SHARE_KEYS,
  'original_max_position_embeddings',
];

/**
 * Reads the rotary position settings of a config: `rope_parameters` of transformers 5, possibly per layer type, or `rope_scaling`,
 * `rope_theta` and `partial_rotary_factor` of transformers 4, or GPT-NeoX's names of the last two.
 * @throws {InputError} for an unsupported scaling, settings that differ between layers, and fields that contradict each other.
 */
export function readRope(config: Config, defaults: RopeDefaults = {}): Rope {
  const { defaultShare = 1, defaultBase = DEFAULT_BASE, layerType } = defaults;
  const original = config.original_max_position_embeddings ?? defaults.defaultOriginal;
  const beside = { ...config, original_max_position_embeddings: original };
  const readings = settingsOf(config, layerType).map((settings): Rope => {
    const base = agreed(config, settings, BASE_KEYS) ?? defaultBase;
    const share = agreed(config, settings, SHARE_KEYS) ?? defaultShare;
    if (share > 1)
      throw new InputError(
        `config.json: expected ${SHARE_KEYS.join(' or ')} to be at most 1, found ${share}`,
      );
    return { base, share, scaling: scalingOf(settings, beside) };
  });
  const [first, ...others] = readings as [Rope, ...Rope[]];
  const other = others.find((reading) => JSON.stringify(reading) !== JSON.stringify(first));
  if (other)
    throw new InputError(
      `config.json: unsupported rotary positions that differ between layers: ${quote(first)} and ${quote(other)}`,
    );
  return first;
}

/** Returns the settings objects: one, or one per layer type, or the same under two keys. */
function settingsOf(config: Config, layerType: string | undefined): Settings[] {
  const all = ['rope_parameters', 'rope_scaling'].flatMap((key) => {
    const value = config[key] ?? undefined;
    if (value === undefined) return [];
    if (!isPlainObject(value))
      throw new InputError(`config.json: expected ${key} to be an object, found ${quote(value)}`);
    const byType = Object.entries(value).filter((entry): entry is [string, Settings] =>
      isPlainObject(entry[1]),
    );
    const wanted = byType.filter(([type]) => layerType === undefined || type === layerType);
    return byType.length ? wanted.map(([, settings]) => settings) : [value];
  });
  for (const settings of all) refuseUnknown(settings);
  return all.length ? all : [{}];
}

/** Keys that may be in the settings. */
const KNOWN: ReadonlySet<string> = new Set([
  ...BASE_KEYS,
  ...SHARE_KEYS,
  ...[
    'rope_type',
    'type',
    'factor',
    'low_freq_factor',
    'high_freq_factor',
    'original_max_position_embeddings',
  ],
  ...['beta_fast', 'beta_slow', 'mscale', 'mscale_all_dim', 'attention_factor', 'truncate'],
  ...['short_factor', 'long_factor', 'short_mscale', 'long_mscale', 'max_position_embeddings'],
]);

function refuseUnknown(settings: Settings): void {
  for (const [key, value] of Object.entries(settings))
    if (!KNOWN.has(key) && value !== null)
      throw new InputError(`config.json: unsupported setting rope_parameters.${key} = ${quote(value)}`);
}

/** Returns a positive number that several keys may state, with the same value; undefined if none does. */
function agreed(config: Config, settings: Settings, keys: readonly string[]): number | undefined {
  const given = [
    ...keys.map((key) => [`rope_parameters.${key}`, settings[key]] as const),
    ...keys.map((key) => [key, config[key]] as const),
  ].filter(([, value]) => value !== undefined && value !== null);
  for (const [key, value] of given)
    if (!(typeof value === 'number' && value > 0 && Number.isFinite(value)))
      throw new InputError(`config.json: expected ${key} to be a positive number, found ${quote(value)}`);
  const [first] = given;
  const other = given.find(([, value]) => value !== first![1]);
  if (other)
    throw new InputError(
      `config.json: ${first![0]} is ${quote(first![1])}, but ${other[0]} is ${quote(other[1])}`,
    );
  return first?.[1] as number | undefined;
}

/** Reads one number of the settings: required, or with a fallback. */
type ReadNumber = (key: string, fallback?: number) => number;

const SCALINGS: Readonly<
  Record<string, (number: ReadNumber, settings: Settings, config: Config) => RopeScaling>
> = {
  default: () => ({ type: 'default' }),
  linear: (number) => ({ type: 'linear', factor: number('factor') }),
  dynamic: (number, _, config) => ({
    type: 'dynamic',
    factor: number('factor'),
    positions: positionsOf(config),
  }),
  llama3: (number) => ({
    type: 'llama3',
    factor: number('factor'),
    lowFrequencyFactor: number('low_freq_factor'),
    highFrequencyFactor: number('high_freq_factor'),
    originalPositions: number('original_max_position_embeddings'),
  }),
  yarn: (number, settings, config) => {
    const originalPositions = originalOf(number, config);
    const factor = number('factor', positionsOf(config) / originalPositions);
    const [own, all] = [number('mscale', 0), number('mscale_all_dim', 0)];
    const magnitude = own && all ? stretch(factor, own) / stretch(factor, all) : stretch(factor, 1);
    return {
      type: 'yarn',
      factor,
      fast: number('beta_fast', 32),
      slow: number('beta_slow', 1),
      truncate: settings.truncate !== false,
      originalPositions,
      magnitude: number('attention_factor', magnitude),
      scoreScale: all ? stretch(factor, all) ** 2 : 1,
    };
  },
  longrope: (number, settings, config) => {
    const originalPositions = originalOf(number, config);
    const factor = number('factor', positionsOf(config) / originalPositions);
    const magnitude = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalPositions));
    return {
      type: 'longrope',
      short: factorsIn(settings, 'short_factor'),
      long: factorsIn(settings, 'long_factor'),
      originalPositions,
      magnitude: number('attention_factor', magnitude),
    };
  },
};

/** The name of longrope in the first models that had it. */
const OLD_NAMES: Readonly<Record<string, string>> = { su: 'longrope' };

/** YaRN's correction of the attention's temperature. */
const stretch = (factor: number, scale: number) => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1);

function positionsOf({ max_position_embeddings: positions }: Config): number {
  if (Number.isSafeInteger(positions) && (positions as number) > 0) return positions as number;
  throw new InputError(
    `config.json: expected max_position_embeddings to be a positive integer, found ${quote(positions)}`,
  );
}

/** Returns the context of training; a field beside the settings is stronger. */
function originalOf(number: ReadNumber, config: Config): number {
  const beside = config.original_max_position_embeddings;
  return Number.isSafeInteger(beside) && (beside as number) > 0
    ? (beside as number)
    : number('original_max_position_embeddings', positionsOf(config));
}

function factorsIn(settings: Settings, key: string): readonly number[] {
  const value = settings[key];
  if (
    Array.isArray(value) &&
    value.length &&
    value.every((factor) => typeof factor === 'number' && factor > 0)
  )
    return value;
  throw new InputError(
    `config.json: expected rope_scaling.${key} to be positive numbers, found ${quote(value)}`,
  );
}

function scalingOf(settings: Settings, config: Config): RopeScaling {
  const given = settings.rope_type ?? settings.type ?? 'default';
  const type = typeof given === 'string' ? (OLD_NAMES[given] ?? given) : given;
  const read = typeof type === 'string' && Object.hasOwn(SCALINGS, type) ? SCALINGS[type] : undefined;
  if (!read)
    throw new InputError(
      `config.json: expected rope_type to be one of ${Object.keys(SCALINGS).join(', ')}, found ${quote(type)}`,
    );
  const number: ReadNumber = (key, fallback) => {
    const value = settings[key] ?? fallback;
    if (typeof value === 'number' && (value > 0 || value === fallback)) return value;
    throw new InputError(
      `config.json: expected rope_scaling.${key} to be a positive number, found ${quote(value)}`,
    );
  };
  return read(number, settings, config);
}

/**
 * Returns the divisors of the `size / 2` frequencies base^(-2i / size). With llama3, low frequencies are divided by the factor, high ones
 * are unchanged, and those between are interpolated; so with yarn, which counts rotations in another way.
 * @param length tokens of the sequence, for those that depend on it.
 */
export function frequencyDivisors(
  { base, scaling }: Pick<Rope, 'base' | 'scaling'>,
  size: number,
  length = 1,
): Float64Array {
  if (scaling.type === 'yarn') return yarnDivisors(base, scaling, size);
  return Float64Array.from({ length: size / 2 }, (_, i) => {
    if (scaling.type === 'default') return 1;
    if (scaling.type === 'linear') return scaling.factor;
    if (scaling.type === 'dynamic') {
      const { factor, positions } = scaling;
      const stretched = (factor * Math.max(length, positions)) / positions - (factor - 1);
      return stretched ** ((2 * i) / (size - 2));
    }
    if (scaling.type === 'longrope')
      return (length > scaling.originalPositions ? scaling.long : scaling.short)[i]!;
    const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalPositions } = scaling;
    const waves = originalPositions / (2 * Math.PI * base ** ((2 * i) / size));
    const unscaled = Math.min(1, Math.max(0, (waves - low) / (high - low)));
    return 1 / (unscaled + (1 - unscaled) / factor);
  });
}

function yarnDivisors(
  base: number,
  scaling: Extract<RopeScaling, { type: 'yarn' }>,
  size: number,
): Float64Array {
  const { factor, fast, slow, truncate, originalPositions } = scaling;
  const pairOf = (rotations: number) =>
    (size * Math.log(originalPositions / (rotations * 2 * Math.PI))) / (2 * Math.log(base));
  const [first, last] = truncate
    ? [Math.floor(pairOf(fast)), Math.ceil(pairOf(slow))]
    : [pairOf(fast), pairOf(slow)];
  const [low, high] = [Math.max(first, 0), Math.min(last, size - 1)];
  return Float64Array.from({ length: size / 2 }, (_, i) => {
    const scaled = Math.min(1, Math.max(0, (i - low) / (high === low ? 0.001 : high - low)));
    return 1 / (1 - scaled + scaled / factor);
  });
}
