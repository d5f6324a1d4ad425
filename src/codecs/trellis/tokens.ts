import { CONTEXTS, MAX_INDEX } from './levels.js';

/** Tables: one for each context and quantizer, `context * 2 + quantizer`. */
export const TABLES = CONTEXTS * 2;

/** Tokens of a table: -63 to 63, and the escape in place of -64. */
export const TOKENS = 128;

/** Frequencies of a table sum to 2^12: a slot's frequency, offset and token then fit 32 bits. */
export const SCALE = 1 << 12;

/** Index k stands at k + MAX_INDEX where a number for every index is kept. */
export const INDICES = 2 * MAX_INDEX + 1;

/** The token of a magnitude: itself below 16, then 8 an octave. spec/wpk-v1.md, "Trellis blocks". */
export function magnitudeToken(magnitude: number): number {
  if (magnitude < 16) return magnitude;
  const rawBits = 28 - Math.clz32(magnitude);
  return rawBits * 8 + (magnitude >> rawBits);
}

/** How many bits follow a magnitude's token, for the magnitudes that share it. */
export function rawBitsOf(token: number): number {
  return token < 16 ? 0 : (token >> 3) - 1;
}

/** Magnitudes' tokens are 0 to 63. */
export const MAGNITUDE_TOKENS = TOKENS / 2;

/** An escape is followed by the token, less -64, in so many bits. */
export const ESCAPE_BITS = 7;
