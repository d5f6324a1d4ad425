import { blocksOf, decodeBlock, encodeBlock } from '../../src/codecs/lossless/block.js';
import { DTYPE_BYTES, type Dtype, elementCount } from '../../src/core/dtype.js';
import { losslessKernels } from '../../src/wasm/lossless.js';

export const kernels = losslessKernels();

/** Every block of a tensor: its place, its elements and its payload. */
export function encodeTensor(dtype: Dtype, shape: readonly number[], bytes: Uint8Array) {
  const width = DTYPE_BYTES[dtype];
  return [...blocksOf(dtype, shape)].map((block) => {
    const elements = bytes.subarray(block.first * width, (block.first + block.count) * width);
    return { block, elements, payload: encodeBlock(kernels, elements, block) };
  });
}

/** Encodes and decodes a tensor block by block. */
export function roundTrip(dtype: Dtype, shape: readonly number[], bytes: Uint8Array): Uint8Array {
  const decoded = new Uint8Array(elementCount(shape) * DTYPE_BYTES[dtype]);
  for (const { block, payload } of encodeTensor(dtype, shape, bytes))
    decoded.set(decodeBlock(kernels, payload, block), block.first * DTYPE_BYTES[dtype]);
  return decoded;
}

/** One block of a one-dimensional tensor. */
export const flat = (dtype: Dtype, count: number) => ({ dtype, first: 0, rows: 1, columns: count, count });

/** True when equal; toEqual on megabytes takes seconds. */
export const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;
