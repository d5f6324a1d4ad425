// An adaptive binary arithmetic coder (a range coder with carries) for side information: some hundred numbers whose
// distribution nobody knows beforehand. Slow beside rANS, and needs no tables. Integer arithmetic throughout.

const PROBABILITY_BITS = 16;
const HALF = 1 << (PROBABILITY_BITS - 1);
const TOP = 2 ** 32;
const LOWEST_RANGE = 2 ** 24;

/** A bit moves its probability by 1 / (times seen + 2) of the way, in the end by 1 / 32: fast at first, then steady. */
const SLOWEST = 30;

/** What has been learned about one binary decision. */
export class Bit {
  /** That it is 1, of 2^16. */
  private probability = HALF;
  private seen = 0;

  /** The part of a range that stands for 1: at least 1, less than all. */
  share(range: number): number {
    const twelveBits = Math.min(4095, Math.max(1, this.probability >>> (PROBABILITY_BITS - 12)));
    return Math.floor(range / 4096) * twelveBits;
  }

  learn(bit: number): void {
    const target = bit ? (1 << PROBABILITY_BITS) - 1 : 0;
    this.probability += Math.trunc((target - this.probability) / (this.seen + 2));
    if (this.seen < SLOWEST) this.seen++;
  }
}

/** What codes or decodes bits: an integer's code is then written once for both directions. */
export interface BitCoder {
  /** Codes `bit`, or decodes one and ignores `bit`. @returns the bit. */
  code(bit: number, model: Bit): number;
  /** As `code`, both values equally probable. */
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
    while (this.range < LOWEST_RANGE) {
      this.bytes.push(Math.floor(this.low / LOWEST_RANGE));
      this.low = (this.low % LOWEST_RANGE) * 256;
      this.range *= 256;
    }
  }

  private carry(): void {
    this.low -= TOP;
    let i = this.bytes.length - 1;
    while (this.bytes[i] === 255) this.bytes[i--] = 0;
    this.bytes[i]!++;
  }

  /** The bytes; zeros at their end are left out, and the decoder supplies them. */
  finish(): Uint8Array {
    // of the numbers that lie in the final interval, the one that ends with the most zeros
    for (let unit = TOP; ; unit /= 256) {
      const end = Math.ceil(this.low / unit) * unit;
      if (end >= this.low + this.range) continue;
      this.low = end;
      break;
    }
    if (this.low >= TOP) this.carry();
    for (let unit = LOWEST_RANGE; unit >= 1; unit /= 256) this.bytes.push(Math.floor(this.low / unit) % 256);
    let length = this.bytes.length;
    while (length > 0 && this.bytes[length - 1] === 0) length--;
    return Uint8Array.from(this.bytes.slice(0, length));
  }
}

export class ArithmeticDecoder implements BitCoder {
  /** What was read, less the low end of the interval. */
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

  /** @throws {RangeError} when bytes are left over. */
  finish(): void {
    if (this.position < this.bytes.length)
      throw new RangeError(`${this.bytes.length - this.position} bytes are left after the last code`);
  }

  private narrow(share: number): number {
    const bit = this.offset < share ? 1 : 0;
    if (bit) this.range = share;
    else {
      this.offset -= share;
      this.range -= share;
    }
    while (this.range < LOWEST_RANGE) {
      this.offset = this.offset * 256 + this.next();
      this.range *= 256;
    }
    return bit;
  }

  private next(): number {
    return this.bytes[this.position++] ?? 0;
  }
}

/** The widest magnitude an integer may have, in bits. */
const WIDEST = 15;

/**
 * What has been learned about integers that are mostly small: whether zero, their sign, how many bits their magnitude
 * has (in unary), and the highest of these bits below the top one. The rest are taken as even.
 */
export class IntegerModel {
  private readonly zero = new Bit();
  private readonly sign = new Bit();
  private readonly wider = [bitsOf(WIDEST), bitsOf(WIDEST)] as const;
  private readonly second = [bitsOf(WIDEST + 1), bitsOf(WIDEST + 1)] as const;

  /** Codes `value`, or decodes one and ignores `value`. Magnitudes below 2^15. @returns the value. */
  code(coder: BitCoder, value = 0): number {
    if (coder.code(value === 0 ? 1 : 0, this.zero)) return 0;
    const negative = coder.code(value < 0 ? 1 : 0, this.sign) as 0 | 1;
    const magnitude = Math.abs(value);
    const width = 32 - Math.clz32(magnitude);
    let bits = 1;
    while (bits < WIDEST && coder.code(width > bits ? 1 : 0, this.wider[negative][bits]!)) bits++;
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
