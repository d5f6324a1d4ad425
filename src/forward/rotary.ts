import { InputError } from '../errors.js';
import { isPlainObject, quote } from '../formats/json.js';

/** Rotary positions: pairs of a head's features turned by an angle that grows with the position. */
export interface Rotary {
  /** How many of a head's features are turned, from the first; even. */
  readonly size: number;
  /** Radians a position, one for each of the `size / 2` pairs. */
  readonly frequencies: Float64Array;
}

/**
 * The frequencies base^(-2i / size), rescaled as the config's `rope_scaling` says.
 * @throws {InputError} for a rescaling that is not built.
 */
export function rotaryOf(config: Readonly<Record<string, unknown>>, size: number, base: number): Rotary {
  const frequencies = Float64Array.from({ length: size / 2 }, (_, i) => base ** ((-2 * i) / size));
  const scaling = config.rope_parameters ?? config.rope_scaling ?? {};
  if (!isPlainObject(scaling))
    throw new InputError(`config.json: expected rope_scaling to be an object, found ${quote(scaling)}`);
  const type = scaling.rope_type ?? scaling.type ?? 'default';
  const rescale = typeof type === 'string' && Object.hasOwn(RESCALINGS, type) && RESCALINGS[type];
  if (!rescale)
    throw new InputError(
      `config.json: expected rope_type to be one of ${Object.keys(RESCALINGS).join(', ')}, found ${quote(type)}`,
    );
  return { size, frequencies: frequencies.map(rescale((key) => positiveNumber(scaling, key))) };
}

/** The `rope_theta` of a config, wherever its version of transformers puts it. */
export function rotaryBase(config: Readonly<Record<string, unknown>>, key = 'rope_theta'): number {
  const nested = isPlainObject(config.rope_parameters) ? config.rope_parameters.rope_theta : undefined;
  const base = config[key] ?? nested ?? 10_000;
  if (typeof base === 'number' && base > 0) return base;
  throw new InputError(`config.json: expected ${key} to be a positive number, found ${quote(base)}`);
}

/** cos and sin of the angles of positions `start` to `end`: [end - start, size / 2] each. */
export function rotaryTables({ frequencies }: Rotary, start: number, end: number) {
  const cosines = new Float32Array((end - start) * frequencies.length);
  const sines = new Float32Array(cosines.length);
  for (let position = start, at = 0; position < end; position++)
    for (const frequency of frequencies) {
      cosines[at] = Math.cos(position * frequency);
      sines[at++] = Math.sin(position * frequency);
    }
  return { cosines, sines };
}

type Rescaling = (number: (key: string) => number) => (frequency: number) => number;

const RESCALINGS: Readonly<Record<string, Rescaling>> = {
  default: () => (frequency) => frequency,
  linear: (number) => {
    const factor = number('factor');
    return (frequency) => frequency / factor;
  },
  // Llama 3.1: long waves are slowed by the factor, short ones kept, those between interpolated.
  llama3: (number) => {
    const factor = number('factor');
    const low = number('low_freq_factor');
    const high = number('high_freq_factor');
    const original = number('original_max_position_embeddings');
    return (frequency) => {
      const waves = (original * frequency) / (2 * Math.PI);
      const kept = Math.min(1, Math.max(0, (waves - low) / (high - low)));
      return frequency * (kept + (1 - kept) / factor);
    };
  },
};

function positiveNumber(scaling: Readonly<Record<string, unknown>>, key: string): number {
  const value = scaling[key];
  if (typeof value === 'number' && value > 0) return value;
  throw new InputError(
    `config.json: expected rope_scaling.${key} to be a positive number, found ${quote(value)}`,
  );
}
