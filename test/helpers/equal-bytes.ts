import { expect } from 'vitest';

/**
 * Makes `toEqual` compare typed arrays of one class by their bytes first: element by element it takes seconds per megabyte. Arrays whose
 * bytes differ are still compared by their elements.
 */
expect.addEqualityTesters([
  (a: unknown, b: unknown) =>
    ArrayBuffer.isView(a) &&
    ArrayBuffer.isView(b) &&
    a.constructor === b.constructor &&
    bytesOf(a).equals(bytesOf(b))
      ? true
      : undefined,
]);

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
  Buffer.from(buffer, byteOffset, byteLength);
