import { InputError } from '../core/errors.js';
import type { Config } from '../core/json.js';
import { isPlainObject, quote } from '../core/json.js';
import { type RopeScaling, scalingOf } from './rope-scaling.js';

type Settings = Readonly<Record<string, unknown>>;

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
