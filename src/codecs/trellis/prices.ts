import { sumOf } from '../../core/sum.js';
import type { IndexTables } from '../../wasm/indices.js';
import { CONTEXTS, level, MAX_INDEX } from './levels.js';
import {
  ESCAPE_BITS,
  INDICES,
  MAGNITUDE_TOKENS,
  magnitudeToken,
  rawBitsOf,
  SCALE,
  TOKENS,
} from './tokens.js';

// Prices: the cost of each index in bits, [CONTEXTS][2][INDICES]: index k of quantizer q is at
// (context * 2 + q) * INDICES + k + MAX_INDEX. The quantizer minimizes error + lambda * price. Prices are not stored.

/** Returns prices for the first pass: a distribution between Gauss and Laplace, with a heavy tail in case a context is wrong. */
export function initialPrices(): Float32Array {
  const prices = new Float32Array(CONTEXTS * 2 * INDICES);
  const share = new Float64Array(INDICES);
  for (let table = 0; table < CONTEXTS * 2; table++) {
    const expected = 2 ** (((table >> 1) - 24) / 4);
    for (let i = 0; i < INDICES; i++) {
      const y = Math.abs(level(table & 1, i - MAX_INDEX));
      const ratio = y / expected;
      share[i] =
        Math.exp(-0.2 * ratio * ratio - 0.4 * ratio) + 1e-7 * Math.exp(-y / (6 * expected + 6)) + 1e-12;
    }
    writePrices(share, prices, table);
  }
  return prices;
}

/** Price of an index that the table cannot code: above that of all others. */
const NEVER_BITS = 40;

/**
 * Computes the prices of indices under the tables of a file. Contexts without a table keep their prices. Raw counts would not work:
 * in a context with few weights, an index that did not occur would be expensive, and become rarer with every pass.
 * @returns new prices.
 */
export function tablePrices({ frequencies }: IndexTables, before: Float32Array): Float32Array {
  const prices = before.slice();
  for (let table = 0; table < CONTEXTS * 2; table++) {
    const row = frequencies.subarray(table * TOKENS, (table + 1) * TOKENS);
    if (!row.some((frequency) => frequency)) continue;
    const bits = Float32Array.from(row, (frequency) =>
      frequency ? Math.log2(SCALE / frequency) : NEVER_BITS,
    );
    const escaped = bits[0]! + ESCAPE_BITS;
    for (let i = 0; i < INDICES; i++) {
      const magnitude = Math.abs(i - MAX_INDEX);
      const token = magnitudeToken(magnitude);
      const raw = rawBitsOf(token);
      const coded = bits[MAGNITUDE_TOKENS + token * Math.sign(i - MAX_INDEX)]!;
      prices[table * INDICES + i] = Math.min(NEVER_BITS, (coded < NEVER_BITS ? coded : escaped) + raw);
    }
  }
  return prices;
}

function writePrices(share: Float64Array, prices: Float32Array, table: number): void {
  const total = sumOf(share, (part) => part);
  for (let i = 0; i < INDICES; i++) prices[table * INDICES + i] = Math.log2(total / share[i]!);
}
