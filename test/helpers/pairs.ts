import type { Dtype } from '../../src/core/dtype.js';
import { DTYPE_BYTES } from '../../src/core/dtype.js';
import { CONTENTS } from './contents.js';

// Elements of a fine-tune, made from those of its base.

/** Returns the bytes of a fine-tune. @param random numbers in [0, 1). */
type Change = (random: () => number, base: Uint8Array, width: number) => Uint8Array;

const gaussian = (random: () => number) =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** Changes each bit pattern, as an integer modulo 2^(8 width). */
function patterns(bytes: Uint8Array, width: number, change: (pattern: bigint) => bigint): Uint8Array {
  const changed = bytes.slice();
  for (let at = 0; at < bytes.length; at += width) {
    let pattern = 0n;
    for (let b = width - 1; b >= 0; b--) pattern = (pattern << 8n) | BigInt(bytes[at + b]!);
    pattern = BigInt.asUintN(8 * width, change(pattern));
    for (let b = 0; b < width; b++) changed[at + b] = Number((pattern >> BigInt(8 * b)) & 0xffn);
  }
  return changed;
}

const steps =
  (size: number): Change =>
  (random, base, width) =>
    patterns(base, width, (pattern) => pattern + BigInt(Math.round(size * gaussian(random))));
const noise: Change = (random, base) => base.map(() => random() * 256);

export const CHANGES: Readonly<Record<string, Change>> = {
  nothing: (_, base) => base.slice(),
  'one element': (random, base, width) => {
    const at = Math.floor((random() * base.length) / width) * width;
    return base.map((byte, i) => (i === at ? byte ^ 1 : byte));
  },
  'steps of one': steps(0.4),
  steps: steps(12),
  'steps with low bits': steps(3000),
  'steps with many low bits': steps(2 ** 26),
  'far steps of a few': (random, base, width) =>
    patterns(base, width, (pattern) =>
      random() < 1 / 300 ? BigInt(Math.floor(random() * 2 ** 32)) : pattern + BigInt(Math.round(random())),
    ),
  'steps as large as the values': (random, base, width) =>
    patterns(base, width, (pattern) => {
      const exponent = Number((pattern >> BigInt(8 * width - 5)) & 15n);
      return pattern + BigInt(Math.round(gaussian(random) * 2 ** (exponent - 4)));
    }),
  'signs of some': (random, base, width) =>
    patterns(base, width, (pattern) => (random() < 0.1 ? pattern ^ (1n << BigInt(8 * width - 1)) : pattern)),
  everything: noise,
};

/** Contents that no other test has: every exponent, in no order. */
const EVERY_EXPONENT = 'all bit patterns';

export const BASES: readonly string[] = [...Object.keys(CONTENTS), EVERY_EXPONENT];

/** Returns elements of a base and of its fine-tune. */
export function pairOf(
  random: () => number,
  { dtype, count, base, change }: { dtype: Dtype; count: number; base: string; change: string },
): { readonly base: Uint8Array; readonly elements: Uint8Array } {
  const width = DTYPE_BYTES[dtype];
  const bytes =
    base === EVERY_EXPONENT
      ? Uint8Array.from({ length: count * width }, () => random() * 256)
      : CONTENTS[base]!(random, count, width);
  return { base: bytes, elements: CHANGES[change]!(random, bytes, width) };
}

/** Returns bf16 weights and those with Gaussian steps, whose deviation is `ratio` of that of the weights. */
export function bf16Pair(random: () => number, count: number, ratio: number) {
  const [base, tuned] = [new Uint16Array(count), new Uint16Array(count)];
  const [float, bits] = [new Float32Array(1), new Uint32Array(1)];
  const both = new Uint8Array(float.buffer);
  const round = (value: number) => {
    float[0] = value;
    new Uint8Array(bits.buffer).set(both);
    return (bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) >>> 16;
  };
  for (let i = 0; i < count; i++) {
    const weight = 0.02 * gaussian(random);
    base[i] = round(weight);
    tuned[i] = round(weight + 0.02 * ratio * gaussian(random));
  }
  return { base: new Uint8Array(base.buffer), tuned: new Uint8Array(tuned.buffer) };
}
