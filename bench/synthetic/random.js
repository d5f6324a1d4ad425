// Fast reproducible draws from a trained model's distributions.

const STEPS_LOG2 = 16;
const STEPS = 2 ** STEPS_LOG2;

/** Quantile function of a sample at 65,537 even steps, by linear interpolation; its ends are the sample's extremes. */
export function quantiles(sample) {
  const sorted = Float64Array.from(sample).sort();
  const table = new Float64Array(STEPS + 1);
  for (let i = 0; i <= STEPS; i++) {
    const at = (i / STEPS) * (sorted.length - 1);
    const low = Math.floor(at);
    const next = sorted[Math.min(low + 1, sorted.length - 1)];
    table[i] = sorted[low] + (at - low) * (next - sorted[low]);
  }
  return table;
}

/** A stream of draws. The same `key` gives the same stream; different keys have different increments, so none overlap. */
export class Random {
  constructor(key) {
    this.state = hash(key);
    this.increment = hash(`${key}/increment`) | 1;
  }

  /**
   * Fills `out[start..end)` with draws from `table` (made by `quantiles`) times `scale` and, if given, `scales[i]`. A draw lies between two table entries, so the result is not one of a few values: the low
   * mantissa bits are as random as a trained model's, even where the table came from bf16 weights.
   */
  fill(out, start, end, table, scale = 1, scales = undefined) {
    const increment = this.increment;
    let state = this.state;
    for (let i = start; i < end; i++) {
      state = (state + increment) | 0;
      const bits = mix(state);
      const step = bits >>> STEPS_LOG2;
      const low = table[step];
      const value = low + (table[step + 1] - low) * ((bits & (STEPS - 1)) / STEPS);
      out[i] = scales === undefined ? value * scale : value * scale * scales[i];
    }
    this.state = state;
  }
}

/** A bijective scrambling of 32 bits (the "lowbias32" constants of Chris Wellons's hash-prospector). */
function mix(state) {
  let bits = state ^ (state >>> 16);
  bits = Math.imul(bits, 0x21f0aaad);
  bits ^= bits >>> 15;
  bits = Math.imul(bits, 0x735a2d97);
  return (bits ^ (bits >>> 15)) >>> 0;
}

/** FNV-1a over the characters, scrambled. */
function hash(key) {
  let state = 0x811c9dc5;
  for (const character of key) state = Math.imul(state ^ character.codePointAt(0), 0x01000193);
  return mix(state);
}
