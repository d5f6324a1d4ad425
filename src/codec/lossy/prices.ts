import { CONTEXTS, level, MAX_INDEX } from './levels.js';
import { INDICES } from './tokens.js';

// Prices: what an index costs, in bits, [CONTEXTS][2][INDICES]: index k of quantiser q stands at
// (context * 2 + q) * INDICES + k + MAX_INDEX. The quantiser weighs them against error; nothing of them is stored.

/** Prices have the weight of so many indices when they are learnt anew. */
const PRIOR_COUNT = 10;

/** Prices before anything was counted: between Gauss and Laplace, with a heavy tail in case a context is wrong. */
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

/**
 * Prices from `counts` of indices, laid out like prices; what was seen seldom leans on the prices before.
 * @returns new prices.
 */
export function learnPrices(counts: ArrayLike<number>, before: Float32Array): Float32Array {
  const prices = new Float32Array(before.length);
  const share = new Float64Array(INDICES);
  for (let table = 0; table < CONTEXTS * 2; table++) {
    const first = table * INDICES;
    for (let i = 0; i < INDICES; i++) share[i] = counts[first + i]! + PRIOR_COUNT * 2 ** -before[first + i]!;
    writePrices(share, prices, table);
  }
  return prices;
}

function writePrices(share: Float64Array, prices: Float32Array, table: number): void {
  const total = share.reduce((sum, part) => sum + part, 0);
  for (let i = 0; i < INDICES; i++) prices[table * INDICES + i] = Math.log2(total / share[i]!);
}
