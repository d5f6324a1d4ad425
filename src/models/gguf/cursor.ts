import type { ByteSource } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';

const PIECE_BYTES = 2 ** 18;

/** Reads numbers and strings of a header one after another, fetching the file in pieces as it goes. */
export class Cursor {
  private piece = new Uint8Array(0);
  private view = new DataView(this.piece.buffer);
  private pieceStart = 0;
  position = 0;

  /** @param mostBytes a header may not be longer. */
  constructor(
    private readonly source: ByteSource,
    private readonly mostBytes: number,
  ) {}

  fail(what: string): never {
    throw new InputError(what, { file: this.source.name, start: this.position });
  }

  /** Makes `length` bytes from the position available. @returns where in the view they are. */
  private async take(length: number): Promise<number> {
    const end = this.position + length;
    if (!(end <= this.source.byteLength))
      this.fail(`${length} bytes are announced, ${this.source.byteLength - this.position} are left`);
    if (end > this.mostBytes)
      this.fail(`the header is longer than ${this.mostBytes} bytes, which is the limit`);
    if (end > this.pieceStart + this.piece.length) {
      const to = Math.min(this.source.byteLength, Math.max(end, this.position + PIECE_BYTES));
      this.piece = (await this.source.read(this.position, to)) as Uint8Array<ArrayBuffer>;
      this.view = new DataView(this.piece.buffer, this.piece.byteOffset, this.piece.length);
      this.pieceStart = this.position;
    }
    this.position = end;
    return end - length - this.pieceStart;
  }

  async uint32(): Promise<number> {
    const at = await this.take(4);
    return this.view.getUint32(at, true);
  }

  /** A count or length; those beyond 2^53 come out as numbers that nothing has room for. */
  async uint64(): Promise<number> {
    const at = await this.take(8);
    return Number(this.view.getBigUint64(at, true));
  }

  async text(mostBytes: number): Promise<string> {
    const length = await this.uint64();
    if (length > mostBytes) this.fail(`a string of ${length} bytes is over the limit of ${mostBytes}`);
    const at = await this.take(length);
    return new TextDecoder().decode(this.piece.subarray(at, at + length));
  }

  /** A scalar of `length` bytes, read from a view. */
  async scalar<Value>(length: number, read: (view: DataView, at: number) => Value): Promise<Value> {
    const at = await this.take(length);
    return read(this.view, at);
  }
}
