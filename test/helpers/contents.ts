import type { Dtype } from '../../src/core/dtype.js';

// Contents that a codec of weights may get wrong, as bytes of little-endian elements.

/** Each takes numbers in [0, 1), a count of elements and their width in bytes. */
type Content = (random: () => number, count: number, width: number) => Uint8Array;

/** Floats of the width by their values: f32's top half for 2 bytes (bf16). Ones of 1 byte are whole numbers. */
function floats(count: number, width: number, value: (i: number) => number): Uint8Array {
  if (width === 1) return Uint8Array.from({ length: count }, (_, i) => Math.round(value(i) * 20));
  if (width === 8) return new Uint8Array(Float64Array.from({ length: count }, (_, i) => value(i)).buffer);
  const f32 = new Uint8Array(Float32Array.from({ length: count }, (_, i) => value(i)).buffer);
  return width === 4 ? f32 : f32.filter((_, i) => i % 4 >= 2);
}

/** Unsigned integers of the width, modulo 2^(8 width). */
function integers(count: number, width: number, value: (i: number) => bigint): Uint8Array {
  const words = BigUint64Array.from({ length: count }, (_, i) => value(i));
  return new Uint8Array(words.buffer).filter((_, i) => i % 8 < width);
}

/** Keeps an element's `bits` top bits. */
function truncate(bytes: Uint8Array, width: number, bits: number): Uint8Array {
  const drop = 8 * width - bits;
  return bytes.map((byte, i) => {
    const below = drop - 8 * (i % width);
    return below <= 0 ? byte : below >= 8 ? 0 : byte & (0xff << below);
  });
}

const gaussian = (random: () => number) =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const word = (random: () => number) =>
  (BigInt(Math.floor(random() * 2 ** 32)) << 32n) | BigInt(Math.floor(random() * 2 ** 32));

export const CONTENTS: Readonly<Record<string, Content>> = {
  weights: (random, count, width) => floats(count, width, () => 0.02 * gaussian(random)),
  'white noise': (random, count, width) => integers(count, width, () => word(random)),
  'all equal': (random, count, width) => {
    const value = word(random);
    return integers(count, width, () => value);
  },
  'one outlier in a constant': (random, count, width) => {
    const [value, other, at] = [word(random), word(random), Math.floor(random() * count)];
    return integers(count, width, (i) => (i === at ? other : value));
  },
  'two values': (random, count, width) => {
    const [a, b, share] = [word(random), word(random), random()];
    return integers(count, width, () => (random() < share ? a : b));
  },
  'rare symbols among a frequent one': (random, count, width) =>
    integers(count, width, () => (random() < 2 ** -13 ? word(random) : 0n)),
  'ramp that wraps around': (random, count, width) => {
    const [first, step] = [word(random), word(random)];
    return integers(count, width, (i) => first + step * BigInt(i));
  },
  sorted: (random, count, width) => {
    const values = Float64Array.from({ length: count }, () => gaussian(random)).sort();
    return floats(count, width, (i) => values[i]!);
  },
  'exponents over the whole range': (random, count, width) =>
    floats(count, width, () => (random() - 0.5) * 2 ** ((random() - 0.5) * (width === 8 ? 2040 : 280))),
  'all negative': (random, count, width) => floats(count, width, () => -Math.abs(gaussian(random)) - 1e-9),
  'not numbers, infinities, zeros, subnormals': (random, count, width) =>
    integers(count, width, () => {
      // all ones or all zeros where the exponents of every dtype lie, anything or nothing below
      const top = random() < 0.5 ? 0x7ff8n << 48n : 0n;
      const below = random() < 0.5 ? word(random) >> 14n : 0n;
      const sign = random() < 0.5 ? 1n << 63n : 0n;
      return (sign | top | below) >> BigInt(64 - 8 * width);
    }),
  ...Object.fromEntries(
    [2, 5, 8, 10, 12, 16, 19, 24, 32, 40].map((bits): [string, Content] => [
      `the top ${bits} bits of weights`,
      (random, count, width) =>
        truncate(
          floats(count, width, () => gaussian(random)),
          width,
          bits,
        ),
    ]),
  ),
  'f16 in f32': (random, count, width) => {
    // 10 bits of mantissa
    const bytes = floats(count, width, () => 0.02 * gaussian(random));
    return width === 4 ? truncate(bytes, 4, 19) : bytes;
  },
  'a causal mask of 61 columns': (_, count, width) =>
    integers(count, width, (i) => (i % 61 <= Math.floor(i / 61) % 61 ? 1n : 0n)),
};

export const DTYPES: readonly Dtype[] = [
  'F64',
  'F32',
  'F16',
  'BF16',
  'F8_E4M3',
  'F8_E5M2',
  'I64',
  'I32',
  'I16',
  'I8',
  'U64',
  'U32',
  'U16',
  'U8',
  'BOOL',
];
