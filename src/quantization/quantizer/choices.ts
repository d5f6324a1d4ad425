import { level, MAX_INDEX } from '../../codecs/trellis/levels.js';
import { TABLES } from '../../codecs/trellis/tokens.js';
import type { QuantizerKernel } from '../../wasm/quantize.js';

/**
 * Sets the cost and the level of each index in the kernel.
 * @param prices bits, as in codecs/trellis/prices.ts. @param lambda squared steps per bit.
 */
export function setChoices(
  { choices }: QuantizerKernel,
  prices: Float32Array,
  shrinks: Float32Array,
  lambda: number,
): void {
  for (let table = 0, at = 0; table < TABLES; table++)
    for (let k = -MAX_INDEX; k <= MAX_INDEX; k++, at++) {
      const shrunk = Math.abs(level(table & 1, k)) - shrinks[table * 4 + Math.min(3, Math.abs(k))]!;
      choices[at * 2] = lambda * prices[at]!;
      choices[at * 2 + 1] = Math.sign(k) * shrunk;
    }
}
