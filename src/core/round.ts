const EXPONENT = 0x7f800000;

/**
 * Rounds float32 values in place to `bits` mantissa bits, to nearest even; bf16 has 7. The lossless codec stores no zero bits, so each
 * bit removed saves one bit per value. Values that would round to infinity are truncated instead.
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
