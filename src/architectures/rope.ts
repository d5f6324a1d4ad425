import { InputError } from '../core/errors.js';
import type { Config } from '../core/json.js';
import { isPlainObject, quote } from '../core/json.js';

type Settings = Readonly<Record<string, unknown>>;

/** How rotary frequencies are rescaled for longer contexts than in training. */
export type RopeScaling =
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalPositions: number;
    };

/** Rotary position settings of a config. */
export interface Rope {
  readonly base: number;
  /** Share of each head's features that are rotated. */
  readonly share: number;
  readonly scaling: RopeScaling;
}

const DEFAULT_BASE = 10_000;

/** Keys of each number, in `rope_parameters` or at the top level. */
const BASE_KEYS = ['rope_theta', 'rotary_emb_base'];
const SHARE_KEYS = ['partial_rotary_factor', 'rotary_pct'];

/**
 * Reads the rotary position settings of a config: `rope_parameters` of transformers 5, possibly per layer type, or `rope_scaling`,
 * `rope_theta` and `partial_rotary_factor` of transformers 4, or GPT-NeoX's names of the last two.
 * @param defaultShare default share of rotated features.
 * @throws {InputError} for an unsupported scaling, settings that differ between layers, and fields that contradict each other.
 */
export function readRope(
  config: Config,
  { defaultShare = 1 }: { readonly defaultShare?: number } = {},
): Rope {
  const readings = settingsOf(config).map((settings): Rope => {
    const base = agreed(config, settings, BASE_KEYS) ?? DEFAULT_BASE;
    const share = agreed(config, settings, SHARE_KEYS) ?? defaultShare;
    if (share > 1)
      throw new InputError(
        `config.json: expected ${SHARE_KEYS.join(' or ')} to be at most 1, found ${share}`,
      );
    return { base, share, scaling: scalingOf(settings) };
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
function settingsOf(config: Config): Settings[] {
  const all = ['rope_parameters', 'rope_scaling'].flatMap((key) => {
    const value = config[key] ?? undefined;
    if (value === undefined) return [];
    if (!isPlainObject(value))
      throw new InputError(`config.json: expected ${key} to be an object, found ${quote(value)}`);
    const byType = Object.values(value).filter(isPlainObject);
    return byType.length ? byType : [value];
  });
  return all.length ? all : [{}];
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

const SCALINGS: Readonly<Record<string, (number: (key: string) => number) => RopeScaling>> = {
  default: () => ({ type: 'default' }),
  linear: (number) => ({ type: 'linear', factor: number('factor') }),
  llama3: (number) => ({
    type: 'llama3',
    factor: number('factor'),
    lowFrequencyFactor: number('low_freq_factor'),
    highFrequencyFactor: number('high_freq_factor'),
    originalPositions: number('original_max_position_embeddings'),
  }),
};

function scalingOf(settings: Settings): RopeScaling {
  const type = settings.rope_type ?? settings.type ?? 'default';
  const read = typeof type === 'string' && Object.hasOwn(SCALINGS, type) ? SCALINGS[type] : undefined;
  if (!read)
    throw new InputError(
      `config.json: expected rope_type to be one of ${Object.keys(SCALINGS).join(', ')}, found ${quote(type)}`,
    );
  return read((key) => {
    const value = settings[key];
    if (typeof value === 'number' && value > 0) return value;
    throw new InputError(
      `config.json: expected rope_scaling.${key} to be a positive number, found ${quote(value)}`,
    );
  });
}

/**
 * Returns the divisors of the `size / 2` frequencies base^(-2i / size). With llama3, low frequencies are divided by the factor, high ones
 * are unchanged, and those between are interpolated.
 */
export function frequencyDivisors(
  { base, scaling }: Pick<Rope, 'base' | 'scaling'>,
  size: number,
): Float64Array {
  return Float64Array.from({ length: size / 2 }, (_, i) => {
    if (scaling.type === 'default') return 1;
    if (scaling.type === 'linear') return scaling.factor;
    const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalPositions } = scaling;
    const waves = originalPositions / (2 * Math.PI * base ** ((2 * i) / size));
    const unscaled = Math.min(1, Math.max(0, (waves - low) / (high - low)));
    return 1 / (unscaled + (1 - unscaled) / factor);
  });
}
