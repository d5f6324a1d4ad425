import type { ByteSource } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';

/** Bytes of the first read at a new place, and the most that is read ahead. */
const FIRST_BYTES = 2 ** 12;
const MAX_BYTES = 2 ** 18;

/** Limit of all texts of a file together. */
const MAX_TEXT_BYTES = 2 ** 27;

/** Limit of the fields of a file. Models of 100,000 nodes have about two million. */
const MAX_FIELDS = 2 ** 22;

/** Longest integer, in bytes. */
const MAX_VARINT_BYTES = 10;

/** Wire types of protocol buffers. https://protobuf.dev/programming-guides/encoding/ */
const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;

/** Bytes of the values that have no length of their own. */
const LENGTHS: Readonly<Record<number, number>> = { [FIXED64]: 8, [FIXED32]: 4 };

/** A field of a message; its value comes next: a varint, or `end` bytes for one with a length. */
export interface Field {
  readonly number: number;
  /** Whether it has a length: text, bytes or a message, which ends at `end`. */
  readonly delimited: boolean;
  readonly end: number;
}

/** Reads messages of protocol buffers by ranges; what is skipped is not read. */
export class FieldCursor {
  private piece = new Uint8Array(0);
  private pieceStart = 0;
  private ahead = FIRST_BYTES;
  position = 0;
  private textBytes = 0;
  private fieldCount = 0;

  constructor(private readonly source: ByteSource) {}

  fail(what: string): never {
    throw new InputError(`ONNX: ${what}`, { file: this.source.name, start: this.position });
  }

  /** Yields the fields of a message that ends at `end`. What the caller does not read of one is skipped. */
  async *fields(end = this.source.byteLength): AsyncGenerator<Field> {
    while (this.position < end) {
      if (++this.fieldCount > MAX_FIELDS) this.fail(`over the limit of ${MAX_FIELDS} fields`);
      const tag = this.varintAtHand() ?? (await this.varint());
      const [number, type] = [Math.floor(tag / 8), tag % 8];
      if (number === 0 || number >= 2 ** 29) this.fail('not a message of protocol buffers');
      const length = LENGTHS[type] ?? (type === VARINT ? undefined : await this.lengthOf(type));
      const start = this.position;
      const fieldEnd = length === undefined ? start : start + length;
      if (fieldEnd > end) this.fail(`field ${number} of ${length} bytes ends beyond its message`);
      yield { number, delimited: type === DELIMITED, end: fieldEnd };
      if (length !== undefined) this.position = fieldEnd;
      else if (this.position === start && this.varintAtHand() === undefined) await this.varint();
    }
    if (this.position !== end) this.fail('a message ends inside of a field');
  }

  private async lengthOf(type: number): Promise<number> {
    if (type !== DELIMITED) this.fail(`unknown wire type ${type}`);
    return this.varintAtHand() ?? this.varint();
  }

  /** Returns the next integer if it is in the piece that was read, which waits for nothing: most fields are tiny, and there may be millions. */
  private varintAtHand(): number | undefined {
    const { piece } = this;
    let at = this.position - this.pieceStart;
    if (at < 0 || at >= piece.length) return undefined;
    let value = 0;
    for (let i = 0; i < MAX_VARINT_BYTES && at < piece.length; i++) {
      const byte = piece[at++]!;
      value += (byte & 127) * 2 ** (7 * i);
      if (byte >= 128) continue;
      this.position = this.pieceStart + at;
      return value;
    }
    return undefined;
  }

  /** Reads an unsigned integer. Values over 2^53, and negative ones, come as inexact numbers over 2^53. */
  async varint(): Promise<number> {
    const atHand = this.varintAtHand();
    if (atHand !== undefined) return atHand;
    const { position } = this;
    const most = Math.min(MAX_VARINT_BYTES, Math.max(1, this.source.byteLength - position));
    const bytes = await this.take(most);
    let value = 0;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!;
      value += (byte & 127) * 2 ** (7 * i);
      if (byte >= 128) continue;
      this.position = position + i + 1;
      return value;
    }
    this.position = position;
    if (most === MAX_VARINT_BYTES) this.fail('an integer of more than ten bytes');
    return this.failAtEnd();
  }

  /** Reads the text of a field. @param maxBytes limit of its length. */
  async text({ end }: Field, maxBytes = 2 ** 20): Promise<string> {
    const length = end - this.position;
    if (length > maxBytes) this.fail(`a text of ${length} bytes is over the limit of ${maxBytes}`);
    this.textBytes += length;
    if (this.textBytes > MAX_TEXT_BYTES) this.fail(`texts of more than ${MAX_TEXT_BYTES} bytes`);
    return new TextDecoder().decode(await this.take(length));
  }

  /** Reads a pair of texts: StringStringEntryProto. */
  async entry({ end }: Field): Promise<[key: string, value: string]> {
    let [key, value] = ['', ''];
    for await (const field of this.fields(end))
      if (field.number === 1 && field.delimited) key = await this.text(field);
      else if (field.number === 2 && field.delimited) value = await this.text(field);
    return [key, value];
  }

  /** Reads a repeated integer field: one value, or packed ones. @param maxCount limit of their number. */
  async integers({ delimited, end }: Field, maxCount: number): Promise<number[]> {
    const values: number[] = [];
    do {
      if (values.length === maxCount) this.fail('a list of too many integers');
      values.push(await this.varint());
    } while (delimited && this.position < end);
    return values;
  }

  private failAtEnd(): never {
    return this.fail(`ends at byte ${this.source.byteLength}, inside of a field`);
  }

  private async take(length: number): Promise<Uint8Array> {
    const { position } = this;
    const end = position + length;
    if (end > this.source.byteLength) this.failAtEnd();
    const pieceEnd = this.pieceStart + this.piece.length;
    if (position < this.pieceStart || end > pieceEnd) {
      // the next place in a row: read more at once; a place behind something skipped: begin small
      this.ahead =
        position >= this.pieceStart && position <= pieceEnd
          ? Math.min(2 * this.ahead, MAX_BYTES)
          : FIRST_BYTES;
      const to = Math.min(this.source.byteLength, Math.max(end, position + this.ahead));
      this.piece = (await this.source.read(position, to)) as Uint8Array<ArrayBuffer>;
      this.pieceStart = position;
    }
    this.position = end;
    return this.piece.subarray(position - this.pieceStart, end - this.pieceStart);
  }
}
