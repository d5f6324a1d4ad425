// Dependent quantization (docs/trellis.md): two quantizers, of which quantizer 0 reaches the even multiples of the step
// and quantizer 1 the odd ones and zero. Eight states run down every column; a state's lowest bit names the quantizer
// of the next weight, the parity of its index leads to the next state.

export { CONTEXTS, MAX_INDEX, ROWS_PER_BLOCK } from '../../wasm/constants.js';

/** The state after `state` when the index is even (0) or odd (1). */
export const NEXT_STATE = [
  [0, 2],
  [7, 5],
  [1, 3],
  [6, 4],
  [2, 0],
  [5, 7],
  [3, 1],
  [4, 6],
] as const;

/** What index `k` means under quantizer 0 or 1, in steps, before any shrinking towards zero. */
export function level(quantizer: number, k: number): number {
  return quantizer === 0 ? 2 * k : 2 * k - Math.sign(k);
}

/** 2^(i / 4); written out, because engines may differ in the last bit of a power. */
const QUARTER_OCTAVES = [1, 1.189207115002721, Math.SQRT2, 1.681792830507429] as const;

/** Steps of rows (scale 1) or of columns (the tensor's scale): float32 of `scale * 2^(code / 4)`, code by code. */
export function stepSizes(codes: Int8Array | Int16Array, scale: number): Float32Array {
  return Float32Array.from(codes, (code) => scale * (QUARTER_OCTAVES[code & 3]! * 2 ** (code >> 2)));
}
