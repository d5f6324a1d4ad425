// The lossless block of spec/wpk-v1.md, read as slowly and plainly as it is written there: numbers one bit at a time,
// symbols by searching the table. It shares no code with what it checks.

import { contexts } from './oracle-contexts.js';
import { littleEndian, xxh64 } from './xxh64.js';

export interface OracleBlock {
  /** Bytes of an element. */
  readonly width: number;
  readonly count: number;
  /** Index of the block's first element in its tensor. */
  readonly first: number;
  /** The tensor's. */
  readonly shape: readonly number[];
  /** For blocks with a base: the type of the elements, and those of the base, which may be fewer. */
  readonly dtype?: string;
  readonly base?: Uint8Array;
}

/** A table as read: symbols ascending, their frequencies, the offset of the byte after it. */
export interface OracleTable {
  readonly symbols: readonly number[];
  readonly frequencies: readonly number[];
  readonly end: number;
}

/** The elements of a payload, digest checked. @throws {RangeError} where the specification says MUST. */
export function oracleDecode(payload: Uint8Array, block: OracleBlock): Uint8Array {
  const elements = oracleElements(payload, block);
  if (xxh64(elements) !== littleEndian(payload.subarray(0, 8))) throw new RangeError('digest');
  return elements;
}

/** As oracleDecode, whatever the digest. */
export function oracleElements(payload: Uint8Array, block: OracleBlock): Uint8Array {
  const modes = [stored, ramp, band, planes, floats, fields, contexts, stairs, differences, patches, shifted];
  const ofBase = { 32: copied, 33: difference };
  const number = payload[8] ?? -1;
  const mode = modes[number] ?? ofBase[number as keyof typeof ofBase];
  if (!mode) throw new RangeError('mode');
  const elements = mode(payload.subarray(9), block);
  const bytes = new Uint8Array(block.count * block.width);
  elements.forEach((element, i) => {
    for (let b = 0; b < block.width; b++)
      bytes[i * block.width + b] = Number((element >> BigInt(8 * b)) & 0xffn);
  });
  return bytes;
}

function stored(body: Uint8Array, { width, count }: OracleBlock): bigint[] {
  if (body.length !== count * width) throw new RangeError('stored length');
  return Array.from({ length: count }, (_, i) => littleEndian(body.subarray(i * width, (i + 1) * width)));
}

function ramp(body: Uint8Array, { width, count }: OracleBlock): bigint[] {
  if (body.length !== 2 * width) throw new RangeError('ramp length');
  const [first, step] = [littleEndian(body.subarray(0, width)), littleEndian(body.subarray(width))];
  return Array.from({ length: count }, (_, i) => BigInt.asUintN(8 * width, first + step * BigInt(i)));
}

function band(body: Uint8Array, { width, count, first, shape }: OracleBlock): bigint[] {
  if (body.length !== 8 + 2 * width) throw new RangeError('band length');
  const signed = (start: number) => Number(BigInt.asIntN(32, littleEndian(body.subarray(start, start + 4))));
  const inside = littleEndian(body.subarray(8, 8 + width));
  const outside = littleEndian(body.subarray(8 + width));
  const [rows, columns] = [shape.at(-2) ?? 1, shape.at(-1) ?? 1];
  return Array.from({ length: count }, (_, i) => {
    const column = (first + i) % columns;
    const row = Math.floor((first + i) / columns) % rows;
    return signed(0) <= column - row && column - row <= signed(4) ? inside : outside;
  });
}

function planes(body: Uint8Array, { width, count }: OracleBlock): bigint[] {
  const elements: bigint[] = new Array(count).fill(0n);
  let next = 0;
  for (let plane = 0; plane < width; plane++) {
    const { symbols, end } = oraclePart(body, next, count);
    next = end;
    symbols.forEach((symbol, i) => {
      elements[i]! |= BigInt(symbol) << BigInt(8 * plane);
    });
  }
  if (next !== body.length) throw new RangeError('left over');
  return elements;
}

/** "A byte plane": length, then the bytes themselves or table and stream. */
export function oraclePart(
  body: Uint8Array,
  start: number,
  count: number,
): { symbols: number[]; end: number } {
  const length = Number(littleEndian(slice(body, start, 4)));
  if (length > count) throw new RangeError('part too long');
  const content = slice(body, start + 4, length);
  const symbols = length === count ? [...content] : tableAndStream(content, count);
  return { symbols, end: start + 4 + length };
}

function fields(body: Uint8Array, { width, count, first }: OracleBlock): bigint[] {
  if (width !== 1) throw new RangeError('fields of bytes');
  const [stride, runs] = [Number(littleEndian(slice(body, 0, 2))), Number(littleEndian(slice(body, 2, 1)))];
  const owners: number[] = [];
  for (let i = 0; i < runs; i++) {
    const [field, low, high] = slice(body, 3 + 3 * i, 3) as unknown as [number, number, number];
    owners.push(...new Array<number>(low + 256 * high).fill(field));
  }
  if (!stride || owners.length !== stride) throw new RangeError('stride');
  const elements: bigint[] = new Array(count).fill(0n);
  let next = 3 + 3 * runs;
  for (let field = 0; field <= Math.max(...owners); field++) {
    const own = elements.map((_, i) => i).filter((i) => owners[(first + i) % stride] === field);
    const { symbols, end } = oraclePart(body, next, own.length);
    next = end;
    own.forEach((i, k) => {
      elements[i] = BigInt(symbols[k]!);
    });
  }
  if (next !== body.length) throw new RangeError('left over');
  return elements;
}

function stairs(body: Uint8Array, { width, count, first: start }: OracleBlock): bigint[] {
  if (body.length !== 2 * width + 8) throw new RangeError('stairs length');
  const [first, step] = [
    littleEndian(body.subarray(0, width)),
    littleEndian(body.subarray(width, 2 * width)),
  ];
  const repeat = littleEndian(body.subarray(2 * width, 2 * width + 4));
  const period = littleEndian(body.subarray(2 * width + 4));
  if (!repeat) throw new RangeError('repeat');
  return Array.from({ length: count }, (_, i) => {
    const stair = BigInt(start + i) / repeat;
    return BigInt.asUintN(8 * width, first + step * (period ? stair % period : stair));
  });
}

function differences(body: Uint8Array, block: OracleBlock): bigint[] {
  const { width } = block;
  if (width === 1) throw new RangeError('differences of bytes');
  let last = littleEndian(slice(body, 0, width));
  return planes(body.subarray(width), block).map((coded, i) => {
    if (i) last = BigInt.asUintN(8 * width, last + (coded % 2n ? -(coded + 1n) / 2n : coded / 2n));
    return last;
  });
}

function patches(body: Uint8Array, block: OracleBlock): bigint[] {
  const { width, count } = block;
  const n = Number(littleEndian(slice(body, 0, 4)));
  const positions = slice(body, 4, 4 * n);
  const values = slice(body, 4 + 4 * n, width * n);
  if (n > count) throw new RangeError('patches');
  const elements = floats(body.subarray(4 + (4 + width) * n), block);
  for (let i = 0; i < n; i++) {
    const position = Number(littleEndian(positions.subarray(4 * i, 4 * i + 4)));
    if (position >= count) throw new RangeError('position');
    elements[position] = littleEndian(values.subarray(width * i, width * (i + 1)));
  }
  return elements;
}

function tableAndStream(bytes: Uint8Array, count: number): number[] {
  const table = oracleTable(bytes);
  if (table.symbols.at(-1)! > 255) throw new RangeError('symbol');
  return oracleStream(table, bytes.subarray(table.end), count);
}

function shifted(body: Uint8Array, block: OracleBlock): bigint[] {
  const { count, first, shape } = block;
  const columns = shape.at(-1) ?? 1;
  if (columns < 1 || columns > 65535) throw new RangeError('columns');
  const rows = Math.ceil(((first % columns) + count) / columns);
  const byRow = oraclePart(body, 0, rows);
  const byColumn = oraclePart(body, byRow.end, columns);
  const shiftOf = (i: number) =>
    byRow.symbols[Math.floor(((first % columns) + i) / columns)]! +
    byColumn.symbols[(first + i) % columns]! -
    256;
  return floats(body.subarray(byColumn.end), block, (x, i, others) => {
    const moved = (x - 1 + shiftOf(i)) % others;
    return x === 0 ? 0 : 1 + (moved < 0 ? moved + others : moved);
  });
}

function floats(
  body: Uint8Array,
  { width, count }: OracleBlock,
  symbolOf: (coded: number, i: number, others: number) => number = (coded) => coded,
): bigint[] {
  const [first = 0, second = 0] = body;
  const [low, zeros, tailBits, signed] = [first % 16, first >> 4, second % 128, second >= 128];
  const tailWidth = 8 * width - 16;
  if (width === 1 || low < (signed ? 3 : 2) || zeros > low || tailBits > tailWidth)
    throw new RangeError('split');
  const table = oracleTable(body.subarray(2));
  if (table.symbols.at(-1)! >= 2 ** (15 - low + (signed ? 1 : 0))) throw new RangeError('symbol');
  const headBits = low - zeros + (signed ? 0 : 1);
  const groups = Math.ceil(count / 8);
  const heads = slice(body, 2 + table.end, headBits * groups);
  const tails = slice(body, 2 + table.end + heads.length, tailBits * groups);
  const symbols = oracleStream(table, body.subarray(2 + table.end + heads.length + tails.length), count);
  return symbols.map((coded, i) => {
    const symbol = symbolOf(coded, i, 2 ** (15 - low + (signed ? 1 : 0)) - 1);
    const raw = new Bits(heads, headBits * i).field(headBits);
    const tail = new Bits(tails, tailBits * i).field(tailBits);
    const [below, sign] = signed
      ? [raw, 0]
      : [raw % 2 ** (low - zeros), Math.floor(raw / 2 ** (low - zeros))];
    const head = sign * 2 ** 15 + symbol * 2 ** low + below * 2 ** zeros;
    return (BigInt(head) << BigInt(tailWidth)) | (BigInt(tail) << BigInt(tailWidth - tailBits));
  });
}

function copied(body: Uint8Array, { width, count, base }: OracleBlock): bigint[] {
  if (body.length || base?.length !== count * width) throw new RangeError('a base as long, and no payload');
  return stored(base, { width, count, first: 0, shape: [] });
}

/** "Difference": bits of mantissa below the exponent, and of the exponent. */
const EXPONENTS: Readonly<Record<string, readonly [mantissa: number, exponent: number]>> = {
  F32: [23, 8],
  BF16: [7, 8],
  F16: [10, 5],
  F8_E4M3: [3, 4],
  F8_E5M2: [2, 5],
};

function difference(body: Uint8Array, { width, count, dtype = '', base }: OracleBlock): bigint[] {
  if (width > 4 || !base || base.length > count * width) throw new RangeError('a base that is not longer');
  const [mantissa, exponent] = EXPONENTS[dtype] ?? [0, 0];
  const isFloat = exponent > 0;
  const bits = new Bits(body);
  const classCount = bits.gamma();
  if (classCount > Math.min(32, 2 ** exponent)) throw new RangeError('classes');
  const [escapeCount, lowBytes] = [bits.gamma() - 1, bits.gamma() - 1];
  const classes = Array.from({ length: classCount }, (_, i) => {
    const after = i ? bits.gamma() : 0;
    const low = bits.field(5);
    return { after, low, table: tableIn(bits, 12) };
  });
  let from = 0;
  const ofExponent = classes.map(({ after, low, table }) => {
    from += after;
    const symbols = table.symbols;
    if (from >= 2 ** exponent || low > 24 || symbols.length < 2 || symbols.at(-1)! > 255 - Number(!low))
      throw new RangeError('class');
    return { from, low, table };
  });
  const escapesAt = Math.ceil(bits.position / 8);
  const escapes = slice(body, escapesAt, escapeCount * width);
  const lowBits = slice(body, escapesAt + escapes.length, lowBytes);
  const size = 2n ** BigInt(8 * width);
  const sign = size / 2n;
  const known = Array.from({ length: count }, (_, i) =>
    littleEndian(base.subarray(i * width, (i + 1) * width)),
  );
  const own = known.map((pattern) => {
    const e = Number((pattern >> BigInt(mantissa)) % 2n ** BigInt(exponent));
    return ofExponent.findLast(({ from }) => from <= e)!;
  });
  const streamAt = escapesAt + escapes.length + lowBits.length;
  const symbols = oracleStream((i) => own[i]!.table, body.subarray(streamAt), count, 12);
  const lows = new Bits(lowBits);
  let escaped = 0;
  const elements = symbols.map((symbol, i) => {
    const { low } = own[i]!;
    let d = 0n;
    if (symbol === 0) d = littleEndian(slice(escapes, width * escaped++, width));
    else if (symbol < 255) d = BigInt(symbol - 128) * 2n ** BigInt(low) + BigInt(lows.field(low));
    const before = !isFloat ? known[i]! : known[i]! >= sign ? size - 1n - known[i]! : known[i]! + sign;
    const ordinal = (((before + d) % size) + size) % size;
    return !isFloat ? ordinal : ordinal >= sign ? ordinal - sign : size - 1n - ordinal;
  });
  if (escaped !== escapeCount || Math.ceil(lows.position / 8) !== lowBytes) throw new RangeError('left over');
  return elements;
}

/** "Frequency table". */
export function oracleTable(bytes: Uint8Array): OracleTable {
  return tableIn(new Bits(bytes), 14);
}

function tableIn(bits: Bits, scaleBits: number): OracleTable {
  const symbols: number[] = [];
  const frequencies: number[] = [];
  const count = bits.gamma();
  for (let i = 0, symbol = -1, length = 0; i < count; i++) {
    symbol += bits.gamma();
    const zigzag = bits.gamma() - 1;
    length += zigzag % 2 ? -(zigzag + 1) / 2 : zigzag / 2;
    if (symbol >= 2 ** 16 || length < 0 || length > scaleBits) throw new RangeError('table');
    symbols.push(symbol);
    frequencies.push(2 ** length + bits.field(length));
  }
  if (frequencies.reduce((sum, f) => sum + f, 0) !== 2 ** scaleBits)
    throw new RangeError('sum of frequencies');
  return { symbols, frequencies, end: Math.ceil(bits.position / 8) };
}

/** Number of states of a stream of so many symbols. */
export const oracleStates = (count: number) => (count < 2 ** 18 ? 4 : 32);

/** "Stream": all of `bytes`. */
export function oracleStream(
  table: OracleTable | ((i: number) => OracleTable),
  bytes: Uint8Array,
  count: number,
  scaleBits = 14,
): number[] {
  if (typeof table !== 'function' && table.symbols.length === 1) {
    if (bytes.length) throw new RangeError('stream of one symbol');
    return new Array(count).fill(table.symbols[0]!);
  }
  const scale = 2 ** scaleBits;
  const states = Array.from({ length: oracleStates(count) }, (_, i) =>
    Number(littleEndian(slice(bytes, 4 * i, 4))),
  );
  let next = 4 * states.length;
  const decoded = Array.from({ length: count }, (_, i) => {
    const { symbols, frequencies } = typeof table === 'function' ? table(i) : table;
    let x = states[i % states.length]!;
    const slot = x % scale;
    let [index, start] = [0, 0];
    while (start + frequencies[index]! <= slot) start += frequencies[index++]!;
    x = frequencies[index]! * Math.floor(x / scale) + slot - start;
    if (x < 2 ** 16) {
      x = x * 2 ** 16 + Number(littleEndian(slice(bytes, next, 2)));
      next += 2;
    }
    states[i % states.length] = x;
    return symbols[index]!;
  });
  if (states.some((x) => x !== 2 ** 16) || next !== bytes.length) throw new RangeError('end of stream');
  return decoded;
}

export class Bits {
  constructor(
    private readonly bytes: Uint8Array,
    public position = 0,
  ) {}
  /** A number of `width` bits, at most 48. */
  field(width: number): number {
    let value = 0;
    for (let i = 0; i < width; i++, this.position++) {
      const byte = this.bytes[Math.floor(this.position / 8)];
      if (byte === undefined) throw new RangeError('bits end');
      value += ((byte >> (this.position % 8)) & 1) * 2 ** i;
    }
    return value;
  }
  gamma(): number {
    let zeros = 0;
    while (!this.field(1)) if (++zeros > 24) throw new RangeError('gamma');
    return 2 ** zeros + this.field(zeros);
  }
}

export function slice(bytes: Uint8Array, start: number, length: number): Uint8Array {
  if (start + length > bytes.length) throw new RangeError('bytes end');
  return bytes.subarray(start, start + length);
}
