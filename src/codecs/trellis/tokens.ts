import { TOKEN_BITS, TOKEN_SCALE_BITS, TOKENS } from '../../wasm/constants.js';

export { INDICES, TABLES, TOKENS } from '../../wasm/constants.js';

/** Sum of the frequencies of a table. */
export const SCALE = 1 << TOKEN_SCALE_BITS;

/** Returns the token of a magnitude: itself below 16, then 8 tokens per octave. spec/wpk-v1.md, "Trellis blocks". */
export function magnitudeToken(magnitude: number): number {
  if (magnitude < 16) return magnitude;
  const rawBits = 28 - Math.clz32(magnitude);
  return rawBits * 8 + (magnitude >> rawBits);
}

/** Returns the number of raw bits after a token, which select one of the magnitudes that share it. */
export function rawBitsOf(token: number): number {
  return token < 16 ? 0 : (token >> 3) - 1;
}

/** Number of magnitude tokens, 0 to 63. */
export const MAGNITUDE_TOKENS = TOKENS / 2;

/** Bits after an escape: the token, plus 64. */
export const ESCAPE_BITS = TOKEN_BITS;
