import { frequencyDivisors, type Rope } from './rope.js';

/** Rotary positions: pairs of a head's features rotated by an angle proportional to the position. */
export interface Rotary {
  /** Number of a head's features that are rotated, from the first; even. */
  readonly size: number;
  /** Radians per position for each of the `size / 2` pairs. */
  readonly frequencies: Float64Array;
}

/** Returns the frequencies base^(-2i / size) of a head whose first `size` features are rotated, rescaled as the config says. */
export function rotaryOf(rope: Rope, size: number): Rotary {
  const divisors = frequencyDivisors(rope, size);
  return { size, frequencies: divisors.map((divisor, i) => rope.base ** ((-2 * i) / size) / divisor) };
}

/** Returns cosines and sines of the angles at positions `start` to `end`, [end - start, size / 2] each. */
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
