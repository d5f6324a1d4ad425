import { DTYPE_BYTES, type Dtype } from '../../core/dtype.js';
import type { LosslessKernels } from '../../wasm/lossless.js';
import { decodeFloats, encodeFloats } from './floats.js';

// Floats whose last bits are zero, but for a few: those are listed, the others are coded as if there were none. spec/wpk-v1.md, "Patches".

const SAMPLES = 8;
const PER_SAMPLE = 32;
const HEADER_BYTES = 4;
const POSITION_BYTES = 4;

/**
 * Encodes the first `count` of the kernels' `elements`, which come back unchanged.
 * @returns the payload in pieces; undefined if listing elements does not pay.
 */
export function encodePatches(
  kernels: LosslessKernels,
  count: number,
  dtype: Dtype,
): Uint8Array[] | undefined {
  const width = DTYPE_BYTES[dtype];
  const { elements } = kernels.buffers;
  const zeros = usualZeros(elements, count, width);
  if (!zeros) return undefined;
  const { found, always } = exceptions(elements, count, width, zeros);
  const cost = 8 * found.length * (POSITION_BYTES + width);
  if (!found.length || cost >= count * (zeros - always)) return undefined;
  const listed = new Uint8Array(found.length * (POSITION_BYTES + width));
  const positions = new DataView(listed.buffer);
  found.forEach((index, i) => {
    positions.setUint32(POSITION_BYTES * i, index, true);
    const own = elements.subarray(index * width, (index + 1) * width);
    listed.set(own, POSITION_BYTES * found.length + width * i);
    clearLowest(own, zeros);
  });
  const pieces = encodeFloats(kernels, count, dtype);
  found.forEach((index, i) => {
    const at = POSITION_BYTES * found.length + width * i;
    elements.set(listed.subarray(at, at + width), index * width);
  });
  return [new Uint8Array(Uint32Array.of(found.length).buffer), listed, ...pieces];
}

/** Decodes a view of the kernels' `payload` to `elements`. @throws {RangeError} when malformed. */
export function decodePatches(
  kernels: LosslessKernels,
  payload: Uint8Array,
  count: number,
  dtype: Dtype,
): void {
  const width = DTYPE_BYTES[dtype];
  if (payload.length < HEADER_BYTES) throw new RangeError('patches are not described');
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const patches = view.getUint32(0, true);
  const valuesAt = HEADER_BYTES + POSITION_BYTES * patches;
  const end = valuesAt + width * patches;
  if (patches > count || end > payload.length) throw new RangeError('more patches than elements');
  const listed = payload.slice(HEADER_BYTES, end);
  decodeFloats(kernels, payload.subarray(end), count, dtype);
  const positions = new DataView(listed.buffer);
  for (let i = 0; i < patches; i++) {
    const index = positions.getUint32(POSITION_BYTES * i, true);
    if (index >= count) throw new RangeError('a patch beyond the last element');
    const at = POSITION_BYTES * patches + width * i;
    kernels.buffers.elements.set(listed.subarray(at, at + width), index * width);
  }
}

/** Returns the number of last bits that are zero in all elements of a sample; the most of several. */
function usualZeros(elements: Uint8Array, count: number, width: number): number {
  let most = 0;
  for (let sample = 0; sample < SAMPLES; sample++) {
    const seen = new Uint8Array(width);
    for (let i = 0; i < PER_SAMPLE; i++) {
      const index = Math.floor(((i * SAMPLES + sample) * count) / (SAMPLES * PER_SAMPLE));
      for (let b = 0; b < width; b++) seen[b]! |= elements[index * width + b]!;
    }
    const zeros = trailingZeros(seen, 0, width);
    if (zeros < 8 * width) most = Math.max(most, zeros);
  }
  return most;
}

/** Returns the indices of elements whose last `zeros` bits are not all zero, and how many are zero in all. */
function exceptions(elements: Uint8Array, count: number, width: number, zeros: number) {
  const found: number[] = [];
  let always = zeros;
  for (let index = 0; index < count; index++) {
    const own = trailingZeros(elements, index * width, width);
    if (own < zeros) {
      found.push(index);
      always = Math.min(always, own);
    }
  }
  return { found, always };
}

function trailingZeros(bytes: Uint8Array, at: number, width: number): number {
  for (let b = 0; b < width; b++) {
    const byte = bytes[at + b]!;
    if (byte) return 8 * b + 31 - Math.clz32(byte & -byte);
  }
  return 8 * width;
}

function clearLowest(element: Uint8Array, bits: number): void {
  for (let b = 0; 8 * b < bits; b++) element[b]! &= 0xff << Math.min(8, bits - 8 * b);
}
