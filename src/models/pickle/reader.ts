import { latin1Text } from './latin1.js';

/** Reads the operands of a pickle's operations. Every length is checked against the remaining bytes. */
export class PickleReader {
  private readonly view: DataView;

  /** @param fail throws an error with a message and an offset. */
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
      this.fail(`expected ${lengthBytes} more bytes, found ${this.data.length - at}`, at);
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

  /** Reads a length. Values over 2^53 are inexact, but too large for any file. */
  uint64(): number {
    return Number(this.view.getBigUint64(this.take(8), true));
  }

  /** Reads a float64, the only big-endian operand. */
  float64(): number {
    return this.view.getFloat64(this.take(8), false);
  }

  /** Reads a two's complement integer of at most {@link MAX_INTEGER_BYTES} bytes. */
  long(lengthBytes: number): number | bigint {
    if (lengthBytes > MAX_INTEGER_BYTES)
      throw new RangeError(`an integer of ${lengthBytes} bytes is over the limit of ${MAX_INTEGER_BYTES}`);
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

  /** Reads Latin-1 text up to the next line feed, which is skipped. */
  line(): string {
    const end = this.data.indexOf(10, this.next);
    if (end < 0 || end - this.next > MAX_LINE_BYTES) throw new RangeError('unterminated line');
    const text = latin1Text(this.bytes(end - this.next));
    this.next++;
    return text;
  }

  /** Reads a line of protocol 0: Latin-1 with escapes for other characters. */
  unicodeLine(): string {
    return unescaped(this.line(), /\\(u[0-9a-f]{4}|U[0-9a-f]{8})/gi);
  }

  /** Reads a line with a string as Python's repr writes it. */
  quotedLine(): string {
    const line = this.line();
    const inner = /^(['"])(.*)\1$/s.exec(line)?.[2];
    if (inner === undefined) throw new RangeError('expected a quoted string');
    return unescaped(inner);
  }

  lineNumber(): number {
    const value = Number(this.line());
    return value;
  }

  /** Reads a line with a decimal integer. `00` and `01` are booleans if allowed; Python 2 appends an L. */
  lineInteger(booleans: boolean): number | bigint | boolean {
    const line = this.line();
    if (booleans && (line === '00' || line === '01')) return line === '01';
    const digits = /^([+-]?\d{1,300})L?$/.exec(line)?.[1];
    if (digits === undefined)
      throw new RangeError(`expected an integer, found ${JSON.stringify(line.slice(0, 40))}`);
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

/** Returns a number if it is exact, else the bigint. */
function small(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
