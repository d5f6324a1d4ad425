/**
 * Writer of protocol buffer messages: a list of fields, each a tag (number and wire type) and a value.
 * https://protobuf.dev/programming-guides/encoding/
 */
export class MessageWriter {
  private readonly parts: Uint8Array[] = [];

  /** Writes an integer field. @param value a safe integer; negative ones take ten bytes, as int64 does. */
  integer(field: number, value: number): this {
    this.parts.push(varint(field << 3), varint(value));
    return this;
  }

  /** Writes a 32-bit float field. */
  float(field: number, value: number): this {
    this.parts.push(varint((field << 3) | 5), new Uint8Array(new Float32Array([value]).buffer));
    return this;
  }

  /** Writes a length-delimited field: text, bytes or a message. */
  bytes(field: number, value: Uint8Array | string | MessageWriter): this {
    const content = typeof value === 'string' ? new TextEncoder().encode(value) : contentOf(value);
    this.parts.push(varint((field << 3) | 2), varint(content.length), content);
    return this;
  }

  /** Returns the message so far. */
  finish(): Uint8Array {
    const whole = new Uint8Array(sumOf(this.parts, ({ length }) => length));
    let end = 0;
    for (const part of this.parts) {
      whole.set(part, end);
      end += part.length;
    }
    return whole;
  }
}

function contentOf(value: Uint8Array | MessageWriter): Uint8Array {
  return value instanceof MessageWriter ? value.finish() : value;
}

/** Encodes an integer in seven bits per byte, lowest first; the top bit is set on all but the last byte. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

import { sumOf } from '../core/sum.js';
