/** Writes bits, least significant first, to a growing array. For tables of a few hundred bytes, not for data. */
export class BitWriter {
  private readonly bytes: number[] = [];
  private length = 0;

  /** Writes the low `width` bits of `value`, at most 24. */
  write(value: number, width: number): void {
    for (let i = 0; i < width; i++, this.length++) {
      if (this.length % 8 === 0) this.bytes.push(0);
      if ((value >> i) & 1) this.bytes[this.bytes.length - 1]! |= 1 << (this.length % 8);
    }
  }

  /** Writes a positive integer below 2^24 in Elias gamma code: its bit length less one in unary, then the bits below the top one. */
  writeGamma(value: number): void {
    const extra = 31 - Math.clz32(value);
    this.write(0, extra);
    this.write(1, 1);
    this.write(value, extra);
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.bytes);
  }
}

/** Reads what BitWriter wrote. @throws {RangeError} past the end, or for a gamma code of more than 24 bits. */
export class BitReader {
  private position = 0;
  constructor(private readonly bytes: Uint8Array) {}

  /** Reads `width` bits, at most 24. */
  read(width: number): number {
    const value = this.peek() & ((1 << width) - 1);
    this.skip(width);
    return value;
  }

  readGamma(): number {
    const next = this.peek();
    const extra = 31 - Math.clz32(next & -next); // the number of zeros, or -1
    if (extra < 0 || extra > 24) {
      this.skip(25);
      throw new RangeError('number too large in a table');
    }
    this.skip(extra + 1);
    return (1 << extra) | this.read(extra);
  }

  /** Returns at least the next 25 bits; those past the end are zeros. */
  private peek(): number {
    const { bytes } = this;
    const at = this.position >> 3;
    const four = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    return four >>> (this.position & 7);
  }

  private skip(width: number): void {
    this.position += width;
    if (this.position > 8 * this.bytes.length) throw new RangeError('truncated table');
  }

  /** Bytes consumed so far, counting a partly consumed one. */
  get bytesRead(): number {
    return (this.position + 7) >> 3;
  }
}

/** Maps an integer to a natural number, small ones to small ones. */
export const zigzag = (n: number) => (n < 0 ? -2 * n - 1 : 2 * n);
/** Inverts {@link zigzag}. */
export const unzigzag = (n: number) => (n & 1 ? -((n + 1) >> 1) : n >> 1);
