// Where the symbols of quantized weights are: records of bytes, which have some bits of each symbol at regular places.

/** Numbers of `width` bits (1, 2, 4 or 8) from byte `offset` on; those at distance `stride` share a byte, the first in its lowest bits. */
export interface Bits {
  readonly offset: number;
  readonly width: number;
  readonly stride: number;
}

/** Consecutive bytes of a record that share a table. */
export interface Head {
  readonly offset: number;
  readonly length: number;
}

/** A record: its symbols, in one or two parts, and the bytes that they do not lie in. */
export interface Records {
  readonly bytes: number;
  readonly symbols: number;
  readonly low: Bits;
  /** The bits above `low`, if there are any. */
  readonly high?: Bits | undefined;
  readonly heads: readonly Head[];
}

/** Records of ggml's blocks (ggml-common.h), and the number of symbols that share a scale. */
export interface GgmlRecords extends Records {
  readonly group: number;
  /** See LEVELS. */
  readonly levels?: number;
}

const at = (offset: number, width: number, stride: number): Bits => ({ offset, width, stride });

/** Returns the heads of these lengths from `offset` on. */
function heads(offset: number, ...lengths: number[]): Head[] {
  let next = offset;
  return lengths.map((length) => {
    const head = { offset: next, length };
    next += length;
    return head;
  });
}

const GGML: readonly GgmlRecords[] = [
  { bytes: 17, symbols: 32, group: 32, low: at(1, 4, 16), heads: heads(0, 1) }, // MXFP4
  { bytes: 18, symbols: 32, group: 32, low: at(2, 4, 16), heads: heads(0, 1, 1) }, // Q4_0, IQ4_NL
  { bytes: 20, symbols: 32, group: 32, levels: 3, low: at(4, 4, 16), heads: heads(0, 1, 1, 1, 1) }, // Q4_1
  { bytes: 22, symbols: 32, group: 32, low: at(6, 4, 16), high: at(2, 1, 1), heads: heads(0, 1, 1) }, // Q5_0
  {
    bytes: 24,
    symbols: 32,
    group: 32,
    levels: 3,
    low: at(8, 4, 16),
    high: at(4, 1, 1),
    heads: heads(0, 1, 1, 1, 1),
  }, // Q5_1
  { bytes: 34, symbols: 32, group: 32, low: at(2, 8, 1), heads: heads(0, 1, 1) }, // Q8_0
  {
    bytes: 84,
    symbols: 256,
    group: 16,
    levels: 2,
    low: at(16, 2, 32),
    heads: [...heads(0, 16), ...heads(80, 1, 1, 1, 1)],
  }, // Q2_K
  {
    bytes: 110,
    symbols: 256,
    group: 16,
    levels: 5,
    low: at(32, 2, 32),
    high: at(0, 1, 32),
    heads: heads(96, 8, 4, 1, 1),
  }, // Q3_K
  { bytes: 136, symbols: 256, group: 32, low: at(8, 4, 16), heads: heads(0, 1, 1, 2, 4) }, // IQ4_XS
  {
    bytes: 144,
    symbols: 256,
    group: 32,
    levels: 1,
    low: at(16, 4, 32),
    heads: heads(0, 1, 1, 1, 1, 4, 4, 4),
  }, // Q4_K
  {
    ...{ bytes: 176, symbols: 256, group: 32, levels: 1, low: at(48, 4, 32), high: at(16, 1, 32) }, // Q5_K
    heads: heads(0, 1, 1, 1, 1, 4, 4, 4),
  },
  {
    bytes: 210,
    symbols: 256,
    group: 16,
    levels: 4,
    low: at(0, 4, 64),
    high: at(128, 2, 32),
    heads: heads(192, 16, 1, 1),
  }, // Q6_K
  // types with indices of a codebook, whose low bytes are the symbols
  { bytes: 50, symbols: 32, group: 4, low: at(2, 8, 1), heads: [...heads(0, 1, 1), ...heads(34, 16)] }, // IQ1_S
  { bytes: 56, symbols: 32, group: 2, low: at(0, 8, 1), heads: heads(32, 16, 8) }, // IQ1_M
  { bytes: 82, symbols: 32, group: 2, low: at(2, 8, 1), heads: [...heads(0, 1, 1), ...heads(34, 32, 8, 8)] }, // IQ2_S
  { bytes: 98, symbols: 64, group: 8, low: at(2, 8, 1), heads: [...heads(0, 1, 1), ...heads(66, 32)] }, // IQ3_XXS
  { bytes: 110, symbols: 64, group: 8, low: at(2, 8, 1), heads: [...heads(0, 1, 1), ...heads(66, 8, 32, 4)] }, // IQ3_S
];

/** Returns the records of ggml's blocks of so many bytes: several where types have blocks of the same length. */
export const ggmlRecords = (bytes: number) => GGML.filter((records) => records.bytes === bytes);

/** Bytes as two symbols of four bits, and as one of eight. */
export const NIBBLES: Records = { bytes: 1, symbols: 2, low: at(0, 4, 1), heads: [] };
export const BYTES: Records = { bytes: 1, symbols: 1, low: at(0, 8, 1), heads: [] };

/** Returns the bits of a symbol. */
export const symbolBits = ({ low, high }: Records) => low.width + (high?.width ?? 0);

/** Returns the byte of number `i`, and its lowest bit there. */
export function placeOf({ offset, width, stride }: Bits, i: number): { byte: number; shift: number } {
  const perByte = 8 / width;
  const byte = offset + Math.floor(i / (stride * perByte)) * stride + (i % stride);
  return { byte, shift: (Math.floor(i / stride) % perByte) * width };
}

const WIDTHS = [1, 2, 4, 8];
const HEADER_BYTES = 13;
const HEAD_BYTES = 3;

/** Writes records as spec/wpk-v1.md, "Contexts", has them. */
export function writeRecords({ bytes, symbols, low, high, heads }: Records): Uint8Array {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES + HEAD_BYTES * heads.length));
  view.setUint16(0, bytes, true);
  view.setUint16(2, symbols, true);
  for (const [i, { offset, width, stride }] of [low, high ?? at(0, 0, 0)].entries()) {
    view.setUint16(4 + 4 * i, offset, true);
    view.setUint8(6 + 4 * i, width);
    view.setUint8(7 + 4 * i, stride);
  }
  view.setUint8(12, heads.length);
  for (const [i, { offset, length }] of heads.entries()) {
    view.setUint16(HEADER_BYTES + HEAD_BYTES * i, offset, true);
    view.setUint8(HEADER_BYTES + HEAD_BYTES * i + 2, length);
  }
  return new Uint8Array(view.buffer);
}

/**
 * Reads what writeRecords wrote, and the number of its bytes.
 * @throws {RangeError} when it is truncated, or when a byte of the record belongs to nothing or to two things.
 */
export function readRecords(payload: Uint8Array): Records & { readonly lengthBytes: number } {
  const count = payload[HEADER_BYTES - 1];
  const lengthBytes = HEADER_BYTES + HEAD_BYTES * (count ?? 0);
  if (count === undefined || payload.length < lengthBytes) throw new RangeError('records are not described');
  const view = new DataView(payload.buffer, payload.byteOffset, lengthBytes);
  const bitsAt = (start: number) =>
    at(view.getUint16(start, true), view.getUint8(start + 2), view.getUint8(start + 3));
  const [low, second] = [bitsAt(4), bitsAt(8)];
  const records = {
    bytes: view.getUint16(0, true),
    symbols: view.getUint16(2, true),
    low,
    high: second.width ? second : undefined,
    heads: Array.from({ length: count }, (_, i) => ({
      offset: view.getUint16(HEADER_BYTES + HEAD_BYTES * i, true),
      length: view.getUint8(HEADER_BYTES + HEAD_BYTES * i + 2),
    })),
  };
  checkRecords(records);
  return { ...records, lengthBytes };
}

function checkRecords(records: Records): void {
  const { bytes, symbols, low, high, heads } = records;
  const owners = new Uint8Array(bytes);
  const own = (offset: number, length: number) => {
    if (offset + length > bytes) throw new RangeError('a record is longer than its bytes');
    for (let i = offset; i < offset + length; i++) owners[i]!++;
  };
  for (const { offset, width, stride } of high ? [low, high] : [low]) {
    if (!WIDTHS.includes(width) || stride < 1 || (symbols * width) % (8 * stride))
      throw new RangeError('symbols do not fill their bytes');
    own(offset, (symbols * width) / 8);
  }
  for (const { offset, length } of heads) own(offset, length);
  if (!symbols || symbolBits(records) > 8 || !owners.every((count) => count === 1))
    throw new RangeError('bytes of a record that belong to nothing, or to two things');
}
