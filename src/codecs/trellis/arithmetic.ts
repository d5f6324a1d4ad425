// An adaptive binary arithmetic coder (a range coder with carry propagation) for side information: a few hundred numbers
// of unknown distribution. It is slower than rANS and needs no tables. All arithmetic is on integers.

const PROBABILITY_BITS = 16;
const HALF = 1 << (PROBABILITY_BITS - 1);
const TOP = 2 ** 32;
const MIN_RANGE = 2 ** 24;

/** Each bit moves the probability by 1 / (count + 2) of the distance; the count stops here, at 1 / 32: fast at first, then steady. */
const MAX_COUNT = 30;

/** An adaptive model of one binary decision. */
export class Bit {
  /** Probability of a 1, in units of 2^-16. */
  private probability = HALF;
  private seen = 0;

  /** Returns the part of a range that codes a 1: at least 1, less than all of it. */
  share(range: number): number {
    const twelveBits = Math.min(4095, Math.max(1, this.probability >>> (PROBABILITY_BITS - 12)));
    return Math.floor(range / 4096) * twelveBits;
  }

  learn(bit: number): void {
    const target = bit ? (1 << PROBABILITY_BITS) - 1 : 0;
    this.probability += Math.trunc((target - this.probability) / (this.seen + 2));
    if (this.seen < MAX_COUNT) this.seen++;
  }
}

/** An encoder or a decoder of bits: code that uses it is written once for both directions. */
export interface BitCoder {
  /** Encodes `bit`, or decodes one and ignores `bit`. @returns the bit. */
  code(bit: number, model: Bit): number;
  /** Does the same as `code` with both values equally probable. */
  codeEven(bit: number): number;
}

export class ArithmeticEncoder implements BitCoder {
  private low = 0;
  private range = TOP - 1;
  private readonly bytes: number[] = [];

  code(bit: number, model: Bit): number {
    this.narrow(bit, model.share(this.range));
    model.learn(bit);
    return bit;
  }

  codeEven(bit: number): number {
    this.narrow(bit, Math.floor(this.range / 2));
    return bit;
  }

  private narrow(bit: number, share: number): void {
    if (bit) this.range = share;
    else {
      this.low += share;
      this.range -= share;
    }
    if (this.low >= TOP) this.carry();
    while (this.range < MIN_RANGE) {
      this.bytes.push(Math.floor(this.low / MIN_RANGE));
      this.low = (this.low % MIN_RANGE) * 256;
      this.range *= 256;
    }
  }

  private carry(): void {
    this.low -= TOP;
    let i = this.bytes.length - 1;
    while (this.bytes[i] === 255) this.bytes[i--] = 0;
    this.bytes[i]!++;
  }

  /** Returns the bytes without trailing zeros, which the decoder supplies. */
  finish(): Uint8Array {
    // choose the number in the final interval that ends with the most zeros
    for (let unit = TOP; ; unit /= 256) {
      const end = Math.ceil(this.low / unit) * unit;
      if (end >= this.low + this.range) continue;
      this.low = end;
      break;
    }
    if (this.low >= TOP) this.carry();
    for (let unit = MIN_RANGE; unit >= 1; unit /= 256) this.bytes.push(Math.floor(this.low / unit) % 256);
    let length = this.bytes.length;
    while (length > 0 && this.bytes[length - 1] === 0) length--;
    return Uint8Array.from(this.bytes.slice(0, length));
  }
}

export class ArithmeticDecoder implements BitCoder {
  /** The number read so far, minus the low end of the interval. */
  private offset = 0;
  private range = TOP - 1;
  private position = 0;

  constructor(private readonly bytes: Uint8Array) {
    for (let i = 0; i < 4; i++) this.offset = this.offset * 256 + this.next();
  }

  code(_: number, model: Bit): number {
    const bit = this.narrow(model.share(this.range));
    model.learn(bit);
    return bit;
  }

  codeEven(): number {
    return this.narrow(Math.floor(this.range / 2));
  }

  /** Checks that all bytes were read. @throws {RangeError} for extra bytes. */
  finish(): void {
    if (this.position < this.bytes.length)
      throw new RangeError(`${this.bytes.length - this.position} extra bytes after the last code`);
  }

  private narrow(share: number): number {
    const bit = this.offset < share ? 1 : 0;
    if (bit) this.range = share;
    else {
      this.offset -= share;
      this.range -= share;
    }
    while (this.range < MIN_RANGE) {
      this.offset = this.offset * 256 + this.next();
      this.range *= 256;
    }
    return bit;
  }

  private next(): number {
    return this.bytes[this.position++] ?? 0;
  }
}

/** Maximum bits of an integer's magnitude. */
const MAX_WIDTH = 15;

/**
 * An adaptive model of integers that are mostly small. It codes whether they are zero, their sign, the number of bits of their
 * magnitude (in unary), and the bit below the top one. The other bits are coded as equally probable.
 */
export class IntegerModel {
  private readonly zero = new Bit();
  private readonly sign = new Bit();
  private readonly wider = [bitsOf(MAX_WIDTH), bitsOf(MAX_WIDTH)] as const;
  private readonly second = [bitsOf(MAX_WIDTH + 1), bitsOf(MAX_WIDTH + 1)] as const;

  /** Encodes `value`, or decodes one and ignores `value`. Magnitudes are below 2^15. @returns the value. */
  code(coder: BitCoder, value = 0): number {
    if (coder.code(value === 0 ? 1 : 0, this.zero)) return 0;
    const negative = coder.code(value < 0 ? 1 : 0, this.sign) as 0 | 1;
    const magnitude = Math.abs(value);
    const width = 32 - Math.clz32(magnitude);
    let bits = 1;
    while (bits < MAX_WIDTH && coder.code(width > bits ? 1 : 0, this.wider[negative][bits]!)) bits++;
    let coded = 1;
    for (let i = bits - 2; i >= 0; i--) {
      const bit = (magnitude >> i) & 1;
      coded =
        coded * 2 + (i === bits - 2 ? coder.code(bit, this.second[negative][bits]!) : coder.codeEven(bit));
    }
    return negative ? -coded : coded;
  }
}

const bitsOf = (count: number) => Array.from({ length: count }, () => new Bit());
