import type { ByteSource } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';

const PIECE_BYTES = 2 ** 18;

/** Reads numbers and strings of a header in order, fetching the file in pieces. */
export class Cursor {
  private piece = new Uint8Array(0);
  private view = new DataView(this.piece.buffer);
  private pieceStart = 0;
  position = 0;

  /** @param maxBytes maximum length of the header. */
  constructor(
    private readonly source: ByteSource,
    private readonly maxBytes: number,
  ) {}

  fail(what: string): never {
    throw new InputError(what, { file: this.source.name, start: this.position });
  }

  /** Makes the next `length` bytes available. @returns their offset in the view. */
  private async take(length: number): Promise<number> {
    const end = this.endOf(length);
    if (end > this.maxBytes) this.fail(`the header is over the limit of ${this.maxBytes} bytes`);
    if (end > this.pieceStart + this.piece.length) {
      const to = Math.min(this.source.byteLength, Math.max(end, this.position + PIECE_BYTES));
      this.piece = (await this.source.read(this.position, to)) as Uint8Array<ArrayBuffer>;
      this.view = new DataView(this.piece.buffer, this.piece.byteOffset, this.piece.length);
      this.pieceStart = this.position;
    }
    this.position = end;
    return end - length - this.pieceStart;
  }

  /** Passes over the next `length` bytes without reading them. */
  skip(length: number): void {
    this.position = this.endOf(length);
  }

  private endOf(length: number): number {
    const end = this.position + length;
    if (!(end <= this.source.byteLength))
      this.fail(`expected ${length} more bytes, found ${this.source.byteLength - this.position}`);
    return end;
  }

  async uint32(): Promise<number> {
    const at = await this.take(4);
    return this.view.getUint32(at, true);
  }

  /** Reads a count or length. Values over 2^53 are inexact, but too large for any file. */
  async uint64(): Promise<number> {
    const at = await this.take(8);
    return Number(this.view.getBigUint64(at, true));
  }

  async text(maxBytes: number): Promise<string> {
    const length = await this.uint64();
    if (length > maxBytes) this.fail(`a string of ${length} bytes is over the limit of ${maxBytes}`);
    const at = await this.take(length);
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.piece.subarray(at, at + length));
  }

  /** Reads a scalar of `length` bytes from the view. */
  async scalar<Value>(length: number, read: (view: DataView, at: number) => Value): Promise<Value> {
    const at = await this.take(length);
    return read(this.view, at);
  }
}
