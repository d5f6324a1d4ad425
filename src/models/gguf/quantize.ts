import { toFloat16 } from '../../core/float16.js';

const BLOCK = 32;
const BLOCK_BYTES = 34;
const { fround } = Math;

/**
 * Quantizes to Q8_0 as ggml's reference does: per 32 weights a float16 step, and signed bytes of which the largest is 127.
 * @param values finite, a multiple of 32.
 */
export function quantizeQ8(values: Float32Array): Uint8Array {
  const blocks = values.length / BLOCK;
  const out = new Uint8Array(blocks * BLOCK_BYTES);
  const view = new DataView(out.buffer);
  for (let block = 0; block < blocks; block++) {
    const [from, to] = [block * BLOCK, block * BLOCK_BYTES];
    let largest = 0;
    for (let i = 0; i < BLOCK; i++) largest = Math.max(largest, Math.abs(values[from + i]!));
    const step = fround(largest / 127);
    const perStep = step ? fround(1 / step) : 0;
    view.setUint16(to, toFloat16(step), true);
    for (let i = 0; i < BLOCK; i++) out[to + 2 + i] = halfAway(fround(values[from + i]! * perStep));
  }
  return out;
}

/** Rounds like C's roundf, halves away from zero. */
function halfAway(value: number): number {
  return value < 0 ? -Math.floor(0.5 - value) : Math.floor(value + 0.5);
}
