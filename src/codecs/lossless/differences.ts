import type { Dtype } from '../../core/dtype.js';
import type { LosslessKernels } from '../../wasm/lossless.js';
import { decodePlanes, encodePlanes } from './planes.js';

// Integers that are near the one before, as sorted indices and offsets are: byte planes of differences. spec/wpk-v1.md, "Differences".

const WIDTHS: Readonly<Partial<Record<Dtype, number>>> = { I16: 2, U16: 2, I32: 4, U32: 4, I64: 8, U64: 8 };
const SAMPLE = 4096;
/** Minimum share of bits that differences of the sample are shorter by. */
const MIN_GAIN = 0.1;

/** Returns whether the differences of the first elements are shorter than the elements. */
export function differencesPay(elements: Uint8Array, dtype: Dtype): boolean {
  const width = WIDTHS[dtype];
  if (!width) return false;
  const view = new DataView(elements.buffer, elements.byteOffset, elements.length);
  const read = (at: number) =>
    width === 8
      ? view.getBigInt64(at, true)
      : BigInt(width === 4 ? view.getInt32(at, true) : view.getInt16(at, true));
  const length = (x: bigint) => Math.log2(Number(x < 0n ? -x : x) + 1);
  let [whole, between] = [0, 0];
  let last = read(0);
  for (let at = width; at < Math.min(elements.length, SAMPLE * width); at += width) {
    const value = read(at);
    whole += length(value);
    between += length(value - last) + 1;
    last = value;
  }
  return between < whole * (1 - MIN_GAIN);
}

/** Encodes the first `count` of the kernels' `elements`, which come back unchanged. @returns the payload in pieces. */
export function encodeDifferences(kernels: LosslessKernels, count: number, width: number): Uint8Array[] {
  const first = kernels.buffers.elements.slice(0, width);
  kernels.takeDifferences(count, width);
  const planes = encodePlanes(kernels, count, width);
  kernels.buffers.elements.set(first);
  kernels.addDifferences(count, width);
  return [first, ...planes];
}

/** Decodes a view of the kernels' `payload` to `elements`. @throws {RangeError} when malformed. */
export function decodeDifferences(
  kernels: LosslessKernels,
  payload: Uint8Array,
  count: number,
  width: number,
): void {
  if (payload.length < width) throw new RangeError('differences without a first element');
  const first = payload.slice(0, width);
  decodePlanes(kernels, payload.subarray(width), count, width);
  kernels.buffers.elements.set(first);
  kernels.addDifferences(count, width);
}
