import { latin1Text } from './latin1.js';

/** Reads the operands of a pickle's operations; every length is checked against what is left before it is used. */
export class PickleReader {
  private readonly view: DataView;

  /** @param fail called with what is wrong and where; does not return. */
  constructor(
    private readonly data: Uint8Array,
    public next: number,
    private readonly fail: (what: string, at: number) => never,
  ) {
    this.view = new DataView(data.buffer, data.byteOffset, data.length);
  }

  private take(lengthBytes: number): number {
    const at = this.next;
    if (!(lengthBytes <= this.data.length - at))
      this.fail(`${lengthBytes} bytes are announced, ${this.data.length - at} are left`, at);
    this.next = at + lengthBytes;
    return at;
  }

  uint8(): number {
    return this.data[this.take(1)]!;
  }

  uint16(): number {
    return this.view.getUint16(this.take(2), true);
  }

  uint32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  int32(): number {
    return this.view.getInt32(this.take(4), true);
  }

  /** A length; those beyond 2^53 come out as numbers that no file has room for. */
  uint64(): number {
    return Number(this.view.getBigUint64(this.take(8), true));
  }

  /** Big-endian, alone among all. */
  float64(): number {
    return this.view.getFloat64(this.take(8), false);
  }

  /** A two's complement integer of any length up to {@link MAX_INTEGER_BYTES}. */
  long(lengthBytes: number): number | bigint {
    if (lengthBytes > MAX_INTEGER_BYTES) throw new RangeError(`an integer of ${lengthBytes} bytes`);
    const bytes = this.bytes(lengthBytes);
    let value = 0n;
    for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
    return small(BigInt.asIntN(8 * bytes.length, value));
  }

  bytes(lengthBytes: number): Uint8Array {
    const at = this.take(lengthBytes);
    return this.data.subarray(at, this.next);
  }

  text(lengthBytes: number): string {
    return decoder.decode(this.bytes(lengthBytes));
  }

  /** Up to the next line feed, which is passed over; one byte a character. */
  line(): string {
    const end = this.data.indexOf(10, this.next);
    if (end < 0 || end - this.next > MAX_LINE_BYTES) throw new RangeError('a line without an end');
    const text = latin1Text(this.bytes(end - this.next));
    this.next++;
    return text;
  }

  /** Text of protocol 0: one byte a character, others escaped. */
  unicodeLine(): string {
    return unescaped(this.line(), /\\(u[0-9a-f]{4}|U[0-9a-f]{8})/gi);
  }

  /** As Python's repr writes it. */
  quotedLine(): string {
    const line = this.line();
    const inner = /^(['"])(.*)\1$/s.exec(line)?.[2];
    if (inner === undefined) throw new RangeError('a string without quotes');
    return unescaped(inner);
  }

  lineNumber(): number {
    const value = Number(this.line());
    return value;
  }

  /** Decimal; `00` and `01` are booleans where those are allowed; an L at the end is of Python 2. */
  lineInteger(booleans: boolean): number | bigint | boolean {
    const line = this.line();
    if (booleans && (line === '00' || line === '01')) return line === '01';
    const digits = /^([+-]?\d{1,300})L?$/.exec(line)?.[1];
    if (digits === undefined) throw new RangeError(`${JSON.stringify(line.slice(0, 40))} is no integer`);
    return small(BigInt(digits));
  }
}

const SINGLE: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

function unescaped(text: string, pattern = /\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)/gis): string {
  return text.replaceAll(pattern, (_, code: string) => {
    const point = code.length > 1 ? Number.parseInt(code.slice(1), 16) : Number.NaN;
    return point <= 0x10ffff ? String.fromCodePoint(point) : (SINGLE[code] ?? code);
  });
}

const MAX_INTEGER_BYTES = 1024;
const MAX_LINE_BYTES = 2 ** 20;
const decoder = new TextDecoder();

/** A number where it is exact. */
function small(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
