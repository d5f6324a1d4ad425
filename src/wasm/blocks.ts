import { STATES_BYTES, WIDE_STATES, WIDE_SYMBOLS } from './constants.js';

/** Maximum bytes of elements per block: 2^20. */
export const BLOCK_BYTES = 1 << 20;

/** Number of symbols decoded between two checks of the stream's bounds. */
export const DECODE_CHUNK = 1 << 13;

/** Returns the bytes of the states of a stream of `count` symbols. */
export const statesBytes = (count: number) => (isWide(count) ? 4 * WIDE_STATES : STATES_BYTES);

export const isWide = (count: number) => count >= WIDE_SYMBOLS;
