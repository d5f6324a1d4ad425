import { InputError } from '../core/errors.js';
import type { Config } from '../core/json.js';
import { quote } from '../core/json.js';

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

/** Reads how frequencies are rescaled. @throws {InputError} for an unknown kind, and numbers that are missing or not positive. */
export function scalingOf(settings: Settings, config: Config): RopeScaling {
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
