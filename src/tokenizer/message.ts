import { InputError } from '../core/errors.js';

/** Wire types of protocol buffers. https://protobuf.dev/programming-guides/encoding/ */
const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;

/** A field of a message. Fields of another wire type than the reader expects are skipped by it, as newer fields are. */
export interface MessageField {
  readonly number: number;
  /** The value of a varint, as a signed 32-bit integer; undefined for other wire types. */
  readonly integer: number | undefined;
  /** The value of a 32-bit float; undefined for other wire types. */
  readonly float: number | undefined;
  /** The bytes of a text, of bytes or of a message, as a view; undefined for other wire types. */
  readonly bytes: Uint8Array | undefined;
}

/**
 * Yields the fields of a protocol buffers message in memory.
 * @throws {InputError} when a field ends beyond the message, or has an unknown wire type.
 */
export function* messageFields(message: Uint8Array, file: string): Generator<MessageField> {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let position = 0;
  const fail = (what: string): never => {
    throw new InputError(`not a message of protocol buffers: ${what}`, { file });
  };
  const take = (length: number): number => {
    const start = position;
    if (!(length <= message.length - start))
      fail(`a field of ${length} bytes ends beyond its message of ${message.length}`);
    position += length;
    return start;
  };
  const varint = (): number => {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      const byte = message[take(1)]!;
      value += (byte & 127) * 2 ** (7 * i);
      if (byte < 128) return value;
    }
    return fail('an integer of more than ten bytes');
  };
  while (position < message.length) {
    const tag = varint();
    const [number, type] = [Math.floor(tag / 8), tag % 8];
    if (number === 0 || number >= 2 ** 29) fail(`field ${number}`);
    const field = { number, integer: undefined, float: undefined, bytes: undefined };
    if (type === VARINT) yield { ...field, integer: signed(varint()) };
    else if (type === FIXED32) yield { ...field, float: view.getFloat32(take(4), true) };
    else if (type === DELIMITED) {
      const length = varint();
      const start = take(length);
      yield { ...field, bytes: message.subarray(start, start + length) };
    } else if (type === FIXED64) take(8);
    else fail(`unknown wire type ${type}`);
  }
}

/** Returns a varint as the int32 that it stands for: negative ones are written as 64 bits. */
const signed = (value: number): number => Number(BigInt.asIntN(32, BigInt(value)));
