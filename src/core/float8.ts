import { fromFloat16 } from './float16.js';

/** Returns the numbers that the 256 bytes of F8_E5M2 represent: the upper halves of float16. */
export function float8E5m2(): Float32Array {
  return Float32Array.from({ length: 256 }, (_, bits) => fromFloat16(bits << 8));
}

/** Returns the numbers that the 256 bytes of F8_E4M3 represent, without infinity: `e4m3fn` of the Open Compute Project. */
export function float8E4m3(): Float32Array {
  return Float32Array.from({ length: 256 }, (_, bits) => {
    const [exponent, mantissa] = [(bits >> 3) & 15, bits & 7];
    if (exponent === 15 && mantissa === 7) return Number.NaN;
    const magnitude = exponent ? (8 + mantissa) * 2 ** (exponent - 10) : mantissa * 2 ** -9;
    return bits & 0x80 ? -magnitude : magnitude;
  });
}

/** Returns the numbers that the 256 bytes of E8M0 represent: powers of two, and NaN. */
export function float8E8m0(): Float32Array {
  return Float32Array.from({ length: 256 }, (_, bits) => (bits === 255 ? Number.NaN : 2 ** (bits - 127)));
}
