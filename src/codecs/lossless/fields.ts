import { sumOf } from '../../core/sum.js';
import type { LosslessKernels } from '../../wasm/lossless.js';
import { decodePart, encodePart } from './stream.js';

// Rows of bytes with a repeated structure, such as quantized blocks: scales, minima, packed integers. Bytes of the same field share a
// table. Payload: stride u16, number of runs u8, for each run its field u8 and its length u16 (together they make up a row); then for
// each field a byte plane: length u32, then the bytes themselves or table and stream. spec/wpk-v1.md, "Fields".

/** Consecutive bytes of a row that belong to one field. */
type Run = readonly [field: number, length: number];

const run = (...lengths: number[]): Run[] => lengths.map((length, field) => [field, length]);

const repeat = (times: number, ...runs: Run[]): Run[] => Array.from({ length: times }, () => runs).flat();

/**
 * Structures of ggml's quantized blocks by their length in bytes (ggml-common.h). The low and high byte of a 16-bit scale are two
 * fields.
 */
const LAYOUTS: Readonly<Record<number, readonly Run[]>> = {
  18: run(1, 1, 16), // Q4_0, IQ4_NL: scale, nibbles
  20: run(1, 1, 1, 1, 16), // Q4_1: scale, minimum, nibbles
  22: run(1, 1, 4, 16), // Q5_0: scale, fifth bits, nibbles
  24: run(1, 1, 1, 1, 4, 16), // Q5_1
  34: run(1, 1, 32), // Q8_0: scale, integers
  54: run(48, 4, 1, 1), // TQ1_0: five digits each, four each, scale
  66: [[0, 1], [1, 1], ...repeat(8, [2, 4], [3, 4])], // IQ2_XXS: scale; four indices, signs with a scale; or TQ2_0: four digits each, scale
  74: [[0, 1], [1, 1], ...repeat(32, [2, 1], [3, 1]), [4, 8]], // IQ2_XS: scale; low byte of an index, high bit with signs; scales
  84: run(16, 64, 1, 1, 1, 1), // Q2_K: scales and minima, two bits each, their scales
  110: run(32, 64, 8, 4, 1, 1), // Q3_K: third bits, two bits each, scales low and high, their scale
  136: run(1, 1, 2, 4, 128), // IQ4_XS: scale, scales high and low, nibbles
  144: run(1, 1, 1, 1, 4, 4, 4, 128), // Q4_K: scale, minimum, scales, minima, their high bits, nibbles
  176: run(1, 1, 1, 1, 4, 4, 4, 32, 128), // Q5_K: fifth bits before the nibbles
  210: run(128, 64, 16, 1, 1), // Q6_K: four bits each, two bits each, scales, their scale
};

/** Returns whether rows of this length have a known structure. */
export function hasFields(columns: number): boolean {
  return Object.hasOwn(LAYOUTS, columns);
}

/** Encodes the first `count` bytes of the kernels' `elements`, which start at byte `first` of the tensor. @returns the payload in pieces. */
export function encodeFields(
  kernels: LosslessKernels,
  count: number,
  first: number,
  columns: number,
): Uint8Array[] {
  const { elements, symbols } = kernels.buffers;
  const bins = kernels.buffers.bins.subarray(0, 256);
  const runs = LAYOUTS[columns]!;
  const pieces = [writeRuns(columns, runs)];
  for (const positions of fieldPositions(columns, runs, first)) {
    bins.fill(0);
    let n = 0;
    eachPosition(positions, columns, count, (place) => {
      const byte = elements[place]!;
      symbols[n++] = byte;
      bins[byte]!++;
    });
    pieces.push(...encodePart(kernels, n, bins));
  }
  return pieces;
}

/** Decodes a view of the kernels' `payload` to `elements`. @throws {RangeError} when malformed. */
export function decodeFields(
  kernels: LosslessKernels,
  payload: Uint8Array,
  count: number,
  first: number,
): void {
  const { elements, symbols } = kernels.buffers;
  const { columns, runs, next: tables } = readRuns(payload);
  let next = tables;
  for (const positions of fieldPositions(columns, runs, first)) {
    const places: number[] = [];
    eachPosition(positions, columns, count, (place) => places.push(place));
    next = decodePart(kernels, payload, next, places.length, (from, chunk) => {
      for (let i = 0; i < chunk; i++) elements[places[from + i]!] = symbols[i]!;
    });
  }
  if (next !== payload.length) throw new RangeError('extra bytes after the last field');
}

function writeRuns(columns: number, runs: readonly Run[]): Uint8Array {
  const head = new DataView(new ArrayBuffer(3 + 3 * runs.length));
  head.setUint16(0, columns, true);
  head.setUint8(2, runs.length);
  for (const [i, [field, length]] of runs.entries()) {
    head.setUint8(3 + 3 * i, field);
    head.setUint16(4 + 3 * i, length, true);
  }
  return new Uint8Array(head.buffer);
}

function readRuns(payload: Uint8Array) {
  if (payload.length < 3) throw new RangeError('fields are not described');
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const columns = view.getUint16(0, true);
  const count = view.getUint8(2);
  if (3 + 3 * count > view.byteLength) throw new RangeError('fields are not described');
  const runs = Array.from(
    { length: count },
    (_, i): Run => [view.getUint8(3 + 3 * i), view.getUint16(4 + 3 * i, true)],
  );
  if (!columns || sumOf(runs, ([, length]) => length) !== columns)
    throw new RangeError(`fields do not add up to a row of ${columns} bytes`);
  return { columns, runs, next: 3 + 3 * count };
}

/** Returns, for every field, the positions of its bytes in a row relative to the block's first byte; some are negative. */
function fieldPositions(columns: number, runs: readonly Run[], first: number): number[][] {
  const phase = first % columns;
  const fields: number[][] = [];
  let place = -phase;
  for (const [field, length] of runs) {
    while (fields.length <= field) fields.push([]);
    for (let i = 0; i < length; i++) fields[field]!.push(place++);
  }
  return fields;
}

/** Calls `visit` with every index below `count` that is one of `positions` plus a multiple of `columns`, in ascending order. */
function eachPosition(
  positions: readonly number[],
  columns: number,
  count: number,
  visit: (place: number) => void,
): void {
  for (let row = 0; row < count + columns; row += columns)
    for (let i = 0; i < positions.length; i++) {
      const place = row + positions[i]!;
      if (place >= 0 && place < count) visit(place);
    }
}
