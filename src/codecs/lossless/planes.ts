import type { LosslessKernels } from '../../wasm/lossless.js';
import { encodeSymbols, openSymbols } from './stream.js';

// Integers, booleans and 8-bit floats: byte b of every element forms plane b, which has its own table. Each plane is its length, u32
// little-endian, then either the bytes themselves (length = count) or table and stream (shorter). docs/format.md, "Byte planes".

/** Encodes the block at `at.elements`. @returns the payload in pieces. */
export function encodePlanes(kernels: LosslessKernels, count: number, width: number): Uint8Array[] {
  const { at, bytes, call } = kernels;
  const pieces: Uint8Array[] = [];
  for (let plane = 0; plane < width; plane++) {
    call.splitPlane(at.elements, count, width, plane, at.symbols, at.bins);
    const { table, stream } = encodeSymbols(kernels, count, new Uint32Array(bytes.buffer, at.bins, 256));
    const coded = table.length + stream.length;
    pieces.push(new Uint8Array(Uint32Array.of(Math.min(coded, count)).buffer));
    if (coded < count) pieces.push(table, stream.slice());
    else pieces.push(Uint8Array.from(new Uint16Array(bytes.buffer, at.symbols, count)));
  }
  return pieces;
}

/** Decodes the payload at `start` to `end` to `at.elements`. @throws {RangeError} when malformed. */
export function decodePlanes(
  kernels: LosslessKernels,
  start: number,
  end: number,
  count: number,
  width: number,
): void {
  const { at, bytes, call } = kernels;
  let next = start;
  for (let plane = 0; plane < width; plane++) {
    if (next + 4 > end) throw new RangeError('missing plane');
    const length = new DataView(bytes.buffer, next, 4).getUint32(0, true);
    next += 4;
    if (length > count || next + length > end) throw new RangeError('plane longer than the payload');
    if (length === count)
      for (let i = 0; i < count; i++) bytes[at.elements + i * width + plane] = bytes[next + i]!;
    else {
      const symbols = openSymbols(kernels, next, next + length, 256);
      symbols.decode(count, 0, symbols.tableEnd, next + length, (first, chunk) =>
        call.mergePlane(at.symbols, chunk, width, plane, at.elements + first * width),
      );
    }
    next += length;
  }
  if (next !== end) throw new RangeError('extra bytes after the last plane');
}
