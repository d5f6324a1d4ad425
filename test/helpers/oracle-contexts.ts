// "Contexts" of spec/wpk-v1.md, read as oracle.ts reads the rest of the lossless block: one symbol at a time.
import {
  Bits,
  type OracleBlock,
  type OracleTable,
  oraclePart,
  oracleStream,
  oracleTable,
  slice,
} from './oracle.js';
import { littleEndian } from './xxh64.js';

interface Part {
  readonly offset: number;
  readonly width: number;
  readonly stride: number;
}

/** The elements of a payload of mode 6. @throws {RangeError} where the specification says MUST. */
export function contexts(body: Uint8Array, { width, count, first }: OracleBlock): bigint[] {
  const reader = new Reader(body);
  const [bytes, n] = [reader.number(2), reader.number(2)];
  const part = (): Part => ({ offset: reader.number(2), width: reader.number(1), stride: reader.number(1) });
  const parts = [part(), part()].filter((own, i) => i === 0 || own.width > 0);
  const bits = parts.reduce((sum, own) => sum + own.width, 0);
  const heads = Array.from({ length: reader.number(1) }, () => [reader.number(2), reader.number(1)] as const);
  const [kind, top, group, run] = [reader.number(1), reader.number(1), reader.number(2), reader.number(2)];
  const [lanes, levels] = [reader.number(4), reader.number(1)];
  checkRecords(bytes, n, parts, heads);
  if (kind > 2 || levels > 6 || !run || !group || group % run || !lanes || lanes > 2 ** 18) fail('walk');
  if (levels === 6 ? group < 16 || run > 1 || lanes > 1 : group > 256) fail('group');

  const out = new Uint8Array(count * width);
  const start = Math.min(out.length, (bytes - ((first * width) % bytes)) % bytes);
  const records = Math.floor((out.length - start) / bytes);
  const end = start + records * bytes;
  out.set(reader.bytes(start));
  out.set(reader.bytes(out.length - end), end);
  const at = (record: number, offset: number) => start + record * bytes + offset;
  for (const [offset, length] of heads)
    for (const [i, byte] of reader.part(records * length).entries())
      out[at(Math.floor(i / length), offset + (i % length))] = byte;

  const firstSymbol = ((first * width + start) / bytes) * n;
  const symbols = records * n;
  if (symbols > 2 ** 22) fail('symbols');
  let rows: number[] = [];
  let columns: number[] = [];
  if (levels === 6) {
    rows = reader.part(Math.ceil(((firstSymbol % group) + symbols) / group));
    columns = reader.part(group);
    if (rows.some((grade) => grade > 32) || columns.some((grade) => grade > 7)) fail('grade');
  }
  const groupLevel = levels > 0 && levels < 6 ? levelReader(levels, n, group, lanes, bytes) : undefined;
  const classes = readClasses(reader, bits, symbols);

  const taken = classes.map(() => 0);
  const seen = new Map<number, number[]>();
  const half = 2 ** (bits - 1);
  const valueBy = [
    (x: number) => x,
    (x: number) => x % half,
    (x: number) => (x < half ? half - 1 - x : x - half),
  ][kind]!;
  for (let i = 0; i < symbols; i++) {
    const s = firstSymbol + i;
    const lane = Math.floor(s / run) % lanes;
    const position = ((s % run) + run * Math.floor(s / (run * lanes))) % group;
    if (position === 0) seen.set(lane, []);
    const before = seen.get(lane) ?? [];
    seen.set(lane, before);
    const [record, j] = [Math.floor(i / n), i % n];
    let context: number;
    if (levels === 6)
      context = 4 * 33 * columns[s % group]! + rows[Math.floor(s / group) - Math.floor(firstSymbol / group)]!;
    else {
      const p = Math.min(7, Math.floor(Math.log2(group - position)));
      const zero = before.includes(0) ? 1 : 0;
      const high = before.some((value) => value >= top) ? 1 : 0;
      const sum = before.reduce((a, b) => a + b, 0);
      const mean = before.length ? 1 + Math.min(31, Math.floor((32 * sum) / (before.length * (top + 1)))) : 0;
      const m = groupLevel ? groupLevel(out, at(record, 0), Math.floor(j / group), bits) : mean;
      context = (4 * p + 2 * zero + high) * 33 + m;
    }
    const own = classes.classOf[context]!;
    const symbol = classes[own]![taken[own]!++] ?? fail('class ends');
    if (symbol >= 2 ** bits) fail('symbol');
    before.push(valueBy(symbol));
    let left = symbol;
    for (const { offset, width: own, stride } of parts) {
      const byte = at(record, offset + stride * Math.floor(j / ((stride * 8) / own)) + (j % stride));
      out[byte]! += (left % 2 ** own) * 2 ** (own * (Math.floor(j / stride) % (8 / own)));
      left = Math.floor(left / 2 ** own);
    }
  }
  if (classes.some((queue, own) => queue.length !== taken[own])) fail('class left over');
  return Array.from({ length: count }, (_, i) => littleEndian(out.subarray(i * width, (i + 1) * width)));
}

function checkRecords(
  bytes: number,
  n: number,
  parts: readonly Part[],
  heads: readonly (readonly [number, number])[],
): void {
  const owners = new Array<number>(bytes).fill(0);
  const own = (offset: number, length: number) => {
    for (let i = offset; i < offset + length; i++) {
      if (i >= bytes) fail('beyond the record');
      owners[i]!++;
    }
  };
  for (const { offset, width, stride } of parts) {
    if (![1, 2, 4, 8].includes(width) || !stride || (n * width) % (8 * stride)) fail('part');
    own(offset, (n * width) / 8);
  }
  for (const [offset, length] of heads) own(offset, length);
  if (!n || n > 256 || owners.some((times) => times !== 1)) fail('record');
  if (parts.reduce((sum, { width }) => sum + width, 0) > 8) fail('bits');
}

type Queues = number[][] & { classOf: readonly number[] };

function readClasses(reader: Reader, bits: number, symbols: number): Queues {
  const count = reader.number(1);
  const map = reader.part(8 * 4 * 33);
  if (count > 64 || map.some((own) => own >= count)) fail('class');
  const base = oracleTable(reader.rest());
  if (base.symbols.at(-1)! >= 2 ** bits) fail('symbol');
  reader.bytes(base.end);
  let left = symbols;
  const queues = Array.from({ length: count }, () => {
    const size = reader.number(4);
    left -= size;
    if (left < 0) fail('classes');
    const queue: number[] = [];
    while (queue.length < size) {
      const coded = reader.bytes(reader.number(4));
      const { table, end } = relativeTable(coded, base);
      for (const symbol of oracleStream(table, coded.subarray(end), Math.min(2 ** 20, size - queue.length)))
        queue.push(symbol);
    }
    return queue;
  });
  if (left || reader.rest().length) fail('left over');
  return Object.assign(queues, { classOf: map });
}

const POWERS = [1048576, 1143480, 1246974, 1359834, 1482910, 1617125, 1763487, 1923096];

function relativeTable(bytes: Uint8Array, base: OracleTable): { table: OracleTable; end: number } {
  const bits = new Bits(bytes);
  let factor = 0;
  const kept: { symbol: number; weight: number }[] = [];
  base.symbols.forEach((symbol, i) => {
    const zigzag = bits.gamma() - 1;
    factor += zigzag % 2 ? -(zigzag + 1) / 2 : zigzag / 2;
    if (factor < -40 || factor > 40) fail('factor');
    const octave = Math.floor(factor / 8);
    const weight = base.frequencies[i]! * POWERS[factor - 8 * octave]! * 2 ** (octave + 5);
    if (factor > -40) kept.push({ symbol, weight });
  });
  if (!kept.length) fail('no symbol');
  const total = kept.reduce((sum, { weight }) => sum + weight, 0);
  const frequencies = kept.map(({ weight }) => Math.max(1, Math.floor((weight / total) * 2 ** 14 + 0.5)));
  for (;;) {
    const excess = frequencies.reduce((sum, f) => sum + f, 0) - 2 ** 14;
    if (!excess) break;
    const largest = frequencies.indexOf(Math.max(...frequencies));
    frequencies[largest]! -= Math.sign(excess);
  }
  const end = Math.ceil(bits.position / 8);
  return { table: { symbols: kept.map(({ symbol }) => symbol), frequencies, end }, end };
}

type LevelOf = (out: Uint8Array, record: number, group: number, bits: number) => number;

/** "Levels". */
function levelReader(levels: number, n: number, group: number, lanes: number, bytes: number): LevelOf {
  const [groups, least] = [[], [8, 16], [16, 84], [1, 4], [16, 208], [16, 108]][levels] as [number, number];
  if (n !== groups * group || group < 16 || lanes > 1 || bytes < least) fail('levels');
  const half = (out: Uint8Array, place: number) => {
    const x = out[place]! + 256 * out[place + 1]!;
    const [exponent, mantissa] = [Math.floor(x / 1024) % 32, x % 1024];
    const magnitude =
      exponent === 31
        ? mantissa
          ? Number.NaN
          : Number.POSITIVE_INFINITY
        : exponent
          ? (1 + mantissa / 1024) * 2 ** (exponent - 15)
          : mantissa * 2 ** -24;
    return x < 2 ** 15 ? magnitude : -magnitude;
  };
  const zero = (m: number, s: number, bits: number) => {
    const level = Math.floor((m / s) * (32 / 2 ** bits));
    return Number.isNaN(level) || level < 0 ? 0 : Math.min(32, level);
  };
  const scale = (a: number) =>
    a === 0 ? 0 : 1 + Math.floor(2 * Math.log2(Math.abs(a)) + 1e-12) + (a < 0 ? 16 : 0);
  return (out, r, i, bits) => {
    const byte = (offset: number) => out[r + offset]!;
    switch (levels) {
      case 1: {
        const s = i < 4 ? byte(4 + i) % 64 : (byte(8 + i) % 16) + 16 * Math.floor(byte(i) / 64);
        const m = i < 4 ? byte(8 + i) % 64 : Math.floor(byte(8 + i) / 16) + 16 * Math.floor(byte(4 + i) / 64);
        return zero(half(out, r + 2) * m, half(out, r) * s, bits);
      }
      case 2:
        return zero(half(out, r + 82) * Math.floor(byte(i) / 16), half(out, r + 80) * (byte(i) % 16), bits);
      case 3:
        return zero(-half(out, r + 2), half(out, r), bits);
      case 4:
        return scale(byte(192 + i) - (byte(192 + i) > 127 ? 256 : 0));
      default: {
        const nibble = i < 8 ? byte(96 + i) % 16 : Math.floor(byte(96 + (i % 8)) / 16);
        const pair = Math.floor(byte(104 + (i % 4)) / 4 ** Math.floor(i / 4)) % 4;
        return scale(nibble + 16 * pair - 32);
      }
    }
  };
}

class Reader {
  private next = 0;
  constructor(private readonly body: Uint8Array) {}
  bytes(length: number): Uint8Array {
    const bytes = slice(this.body, this.next, length);
    this.next += length;
    return bytes;
  }
  number(bytes: number): number {
    return Number(littleEndian(this.bytes(bytes)));
  }
  part(count: number): number[] {
    const { symbols, end } = oraclePart(this.body, this.next, count);
    this.next = end;
    return symbols;
  }
  rest(): Uint8Array {
    return this.body.subarray(this.next);
  }
}

function fail(what: string): never {
  throw new RangeError(what);
}
