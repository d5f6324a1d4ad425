import { DTYPE_BYTES, type Dtype } from '../../core/dtype.js';
import { BLOCK_BYTES, type LosslessKernels } from '../../wasm/lossless.js';
import { decodeBlock, encodeBlock } from '../lossless/block.js';

// Sequences of integers and float16 numbers, encoded in blocks of the lossless codec, each after its length.

/** Encodes a sequence. @param elements little-endian. */
export function encodeStream(kernels: LosslessKernels, elements: Uint8Array, dtype: Dtype): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let start = 0; start < elements.length; start += BLOCK_BYTES) {
    const piece = elements.subarray(start, Math.min(elements.length, start + BLOCK_BYTES));
    const payload = encodeBlock(kernels, piece, blockOf(dtype, piece.length));
    parts.push(new Uint8Array(Uint32Array.of(payload.length).buffer), payload);
  }
  return parts;
}

/** Decodes `lengthBytes` of elements from `coded` at `start`. @throws {RangeError} when it is malformed or too short. */
export function decodeStream(
  kernels: LosslessKernels,
  coded: Uint8Array,
  start: number,
  dtype: Dtype,
  lengthBytes: number,
): { readonly elements: Uint8Array<ArrayBuffer>; readonly end: number } {
  const elements = new Uint8Array(lengthBytes);
  const view = new DataView(coded.buffer, coded.byteOffset, coded.length);
  let next = start;
  for (let done = 0; done < lengthBytes; done += BLOCK_BYTES) {
    if (next + 4 > coded.length) throw new RangeError('a stream is cut short');
    const length = view.getUint32(next, true);
    next += 4;
    if (next + length > coded.length) throw new RangeError('a stream is cut short');
    const size = Math.min(BLOCK_BYTES, lengthBytes - done);
    elements.set(decodeBlock(kernels, coded.subarray(next, next + length), blockOf(dtype, size)), done);
    next += length;
  }
  return { elements, end: next };
}

function blockOf(dtype: Dtype, lengthBytes: number) {
  const count = lengthBytes / DTYPE_BYTES[dtype];
  return { dtype, first: 0, rows: 1, columns: count, count };
}
