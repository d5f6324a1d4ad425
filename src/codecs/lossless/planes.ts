import type { LosslessKernels } from '../../wasm/lossless.js';
import { decodePart, encodePart } from './stream.js';

// Integers, booleans and 8-bit floats: byte b of every element forms plane b, which has its own table.
// spec/wpk-v1.md, "Lossless block".

/** Encodes the first `count` of the kernels' `elements`. @returns the payload in pieces. */
export function encodePlanes(kernels: LosslessKernels, count: number, width: number): Uint8Array[] {
  const planes = Array.from({ length: width }, (_, plane) =>
    encodePart(kernels, count, kernels.splitPlane(count, width, plane)),
  );
  return planes.flat();
}

/** Decodes a view of the kernels' `payload` to `elements`. @throws {RangeError} when malformed. */
export function decodePlanes(
  kernels: LosslessKernels,
  payload: Uint8Array,
  count: number,
  width: number,
): void {
  let next = 0;
  for (let plane = 0; plane < width; plane++)
    next = decodePart(kernels, payload, next, count, (first, chunk) =>
      kernels.mergePlane(first, chunk, width, plane),
    );
  if (next !== payload.length) throw new RangeError('extra bytes after the last plane');
}
