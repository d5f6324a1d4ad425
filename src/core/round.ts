const EXPONENT = 0x7f800000;

/**
 * Rounds float32 values to `bits` bits of mantissa, to nearest even, in place: 7 are those of bf16. The lossless codec
 * stores no zero bits, so each bit that goes is a bit less a value. What would round to infinity is cut instead.
 */
export function roundMantissa(values: Float32Array, bits: number): void {
  const dropped = 23 - bits;
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const half = (1 << (dropped - 1)) - 1;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const rounded = ((word + half + ((word >>> dropped) & 1)) >>> dropped) << dropped;
    const overflows = (rounded & EXPONENT) === EXPONENT && (word & EXPONENT) !== EXPONENT;
    words[i] = overflows ? (word >>> dropped) << dropped : rounded;
  }
}
