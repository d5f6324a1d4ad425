import { InputError } from '../core/errors.js';
import type { Rope } from './rope.js';
import { frequencyDivisors } from './rope-frequencies.js';
import type { RopeScaling } from './rope-scaling.js';

/** Rotary positions: pairs of a head's features rotated by an angle proportional to the position. */
export interface Rotary {
  /** Number of a head's features that are rotated, from the first; even. */
  readonly size: number;
  /** What the frequencies are computed from. */
  readonly base: number;
  readonly scaling: RopeScaling;
  /** Multiplies cosines and sines. */
  readonly magnitude: number;
  /** How many times longer than `max_position_embeddings` sequences may be. */
  readonly contextFactor: number;
  /** Returns radians per position for each of the `size / 2` pairs, in a sequence of `length` tokens. */
  frequencies(length?: number): Float64Array;
}

/**
 * Returns the frequencies base^(-2i / size) of a head whose first `size` features are rotated, rescaled as the config says.
 * @throws {InputError} for longrope with another number of factors than frequencies.
 */
export function rotaryOf(rope: Rope, size: number): Rotary {
  const { base, scaling } = rope;
  if (scaling.type === 'longrope' && [scaling.short, scaling.long].some(({ length }) => length !== size / 2))
    throw new InputError(
      `config.json: expected ${size / 2} factors of longrope, found ${scaling.short.length} and ${scaling.long.length}`,
    );
  return {
    size,
    base,
    scaling,
    contextFactor: scaling.type === 'dynamic' ? scaling.factor : 1,
    magnitude: 'magnitude' in scaling ? scaling.magnitude : 1,
    frequencies: (length) =>
      frequencyDivisors(rope, size, length).map((divisor, i) => base ** ((-2 * i) / size) / divisor),
  };
}

/** Returns cosines and sines of the angles at positions `start` to `end`, [end - start, size / 2] each. */
export function rotaryTables(rotary: Rotary, start: number, end: number) {
  const { magnitude } = rotary;
  const frequencies = rotary.frequencies(end);
  const cosines = new Float32Array((end - start) * frequencies.length);
  const sines = new Float32Array(cosines.length);
  for (let position = start, at = 0; position < end; position++)
    for (const frequency of frequencies) {
      cosines[at] = magnitude * Math.cos(position * frequency);
      sines[at++] = magnitude * Math.sin(position * frequency);
    }
  return { cosines, sines };
}
