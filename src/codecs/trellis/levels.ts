// Dependent quantization (docs/trellis.md) with two quantizers: quantizer 0 has the even multiples of the step as levels,
// quantizer 1 the odd ones and zero. Each column is a path through eight states: the lowest bit of the state is the
// quantizer of the next weight, and the parity of its index selects the next state.

export { CONTEXTS, MAX_INDEX, ROWS_PER_BLOCK } from '../../wasm/constants.js';

/** Next state, by state and parity of the index. */
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

/** Returns the level of index `k` of quantizer 0 or 1, in steps, before any shrinking towards zero. */
export function level(quantizer: number, k: number): number {
  return quantizer === 0 ? 2 * k : 2 * k - Math.sign(k);
}

/** 2^(i / 4); written out, because engines may differ in the last bit of a power. */
const QUARTER_OCTAVES = [1, 1.189207115002721, Math.SQRT2, 1.681792830507429] as const;

/** Returns the steps of rows (with scale 1) or of columns (with the tensor's scale): `scale * 2^(code / 4)` as float32. */
export function stepSizes(codes: Int8Array | Int16Array, scale: number): Float32Array {
  return Float32Array.from(codes, (code) => scale * (QUARTER_OCTAVES[code & 3]! * 2 ** (code >> 2)));
}
