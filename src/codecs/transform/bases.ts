import type { Basis } from './basis.js';
import { resonanceBasis } from './rft.js';

export const MIN_SIZE = 4;
export const MAX_SIZE = 256;

/**
 * Transforms that do not depend on the data. All are applied as matrix products, 2 N operations a weight: at these sizes a fast Fourier
 * transform would save less than it takes to explain, and the comparison is one of what they compact, not of speed.
 */
export const FIXED: Readonly<Record<string, (size: number) => Basis>> = {
  none: identity,
  rft: resonanceBasis,
  dft: fourier,
  dct: cosine,
  hadamard,
  haar,
};

/** True for sizes that transforms have. */
export function isBlockSize(size: number): boolean {
  return size >= MIN_SIZE && size <= MAX_SIZE && Number.isInteger(Math.log2(size));
}

const known = new Map<string, Basis>();

/** @param size a power of two from {@link MIN_SIZE} to {@link MAX_SIZE}. @throws {RangeError} */
export function fixedBasis(name: string, size: number): Basis {
  const key = `${name} ${size}`;
  const make = Object.hasOwn(FIXED, name) ? FIXED[name] : undefined;
  if (!make) throw new RangeError(`unknown transform ${JSON.stringify(name)}`);
  if (!isBlockSize(size))
    throw new RangeError(`blocks of ${size}; expected a power of two from ${MIN_SIZE} to ${MAX_SIZE}`);
  const basis = known.get(key) ?? make(size);
  known.set(key, basis);
  return basis;
}

function fill(size: number, entry: (k: number, n: number) => number): Basis {
  const real = Float64Array.from({ length: size * size }, (_, i) => entry(Math.floor(i / size), i % size));
  return { size, real };
}

function identity(size: number): Basis {
  return fill(size, (k, n) => (k === n ? 1 : 0));
}

/** DCT-II, orthonormal. */
function cosine(size: number): Basis {
  return fill(
    size,
    (k, n) => Math.sqrt((k === 0 ? 1 : 2) / size) * Math.cos((Math.PI * k * (2 * n + 1)) / (2 * size)),
  );
}

/**
 * The Fourier transform of real numbers: its coefficients are conjugate in pairs, so N real numbers hold them all, cosines and
 * sines of each frequency up to half the rate.
 */
function fourier(size: number): Basis {
  return fill(size, (row, n) => {
    const frequency = Math.ceil(row / 2);
    const angle = (2 * Math.PI * frequency * n) / size;
    const alone = frequency === 0 || frequency === size / 2;
    return Math.sqrt((alone ? 1 : 2) / size) * (row % 2 || alone ? Math.cos(angle) : Math.sin(angle));
  });
}

/** Walsh-Hadamard: row k has the sign of the parity of the bits that k and n share. */
function hadamard(size: number): Basis {
  const parity = (bits: number) => {
    let odd = 0;
    for (let rest = bits; rest; rest &= rest - 1) odd ^= 1;
    return odd;
  };
  return fill(size, (k, n) => (parity(k & n) ? -1 : 1) / Math.sqrt(size));
}

/** The mean, then differences of halves, of quarters and so on. */
function haar(size: number): Basis {
  return fill(size, (k, n) => {
    if (k === 0) return 1 / Math.sqrt(size);
    const level = 2 ** Math.floor(Math.log2(k));
    const width = size / level;
    const place = n - (k - level) * width;
    if (place < 0 || place >= width) return 0;
    return (place < width / 2 ? 1 : -1) / Math.sqrt(width);
  });
}
