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

  read(width: number): number {
    let value = 0;
    for (let i = 0; i < width; i++, this.position++) {
      const byte = this.bytes[this.position >> 3];
      if (byte === undefined) throw new RangeError('truncated table');
      value |= ((byte >> (this.position & 7)) & 1) << i;
    }
    return value;
  }

  readGamma(): number {
    let extra = 0;
    while (this.read(1) === 0) if (++extra > 24) throw new RangeError('number too large in a table');
    return (1 << extra) | this.read(extra);
  }

  /** Bytes consumed so far, counting a partly consumed one. */
  get bytesRead(): number {
    return (this.position + 7) >> 3;
  }
}
