import type { Basis } from './basis.js';
import { resonanceBasis } from './rft.js';

export const MIN_SIZE = 4;
export const MAX_SIZE = 256;

/**
 * Data-independent transforms. All are applied as matrix products, 2 N operations per weight: at these sizes a fast Fourier transform
 * would save little, and the comparison is about compaction, not speed.
 */
export const FIXED: Readonly<Record<string, (size: number) => Basis>> = {
  none: identity,
  rft: resonanceBasis,
  dft: fourier,
  dct: cosine,
  hadamard,
  haar,
};

/** Returns whether a block size is supported. */
export function isBlockSize(size: number): boolean {
  return size >= MIN_SIZE && size <= MAX_SIZE && Number.isInteger(Math.log2(size));
}

const known = new Map<string, Basis>();

/** Returns the basis of a transform. @param size a power of two from {@link MIN_SIZE} to {@link MAX_SIZE}. @throws {RangeError} */
export function fixedBasis(name: string, size: number): Basis {
  const key = `${name} ${size}`;
  const make = Object.hasOwn(FIXED, name) ? FIXED[name] : undefined;
  if (!make) throw new RangeError(`unknown transform ${JSON.stringify(name)}`);
  if (!isBlockSize(size))
    throw new RangeError(
      `expected a block size that is a power of two from ${MIN_SIZE} to ${MAX_SIZE}, found ${size}`,
    );
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

/** Returns the orthonormal DCT-II. */
function cosine(size: number): Basis {
  return fill(
    size,
    (k, n) => Math.sqrt((k === 0 ? 1 : 2) / size) * Math.cos((Math.PI * k * (2 * n + 1)) / (2 * size)),
  );
}

/**
 * Returns the Fourier transform of real numbers. Its coefficients are conjugate in pairs, so N real numbers suffice: cosines and sines of
 * each frequency up to half the sampling rate.
 */
function fourier(size: number): Basis {
  return fill(size, (row, n) => {
    const frequency = Math.ceil(row / 2);
    const angle = (2 * Math.PI * frequency * n) / size;
    const alone = frequency === 0 || frequency === size / 2;
    return Math.sqrt((alone ? 1 : 2) / size) * (row % 2 || alone ? Math.cos(angle) : Math.sin(angle));
  });
}

/** Returns the Walsh-Hadamard transform: the sign of entry n in row k is the parity of k AND n. */
function hadamard(size: number): Basis {
  const parity = (bits: number) => {
    let odd = 0;
    for (let rest = bits; rest; rest &= rest - 1) odd ^= 1;
    return odd;
  };
  return fill(size, (k, n) => (parity(k & n) ? -1 : 1) / Math.sqrt(size));
}

/** Returns the Haar transform: the mean, then differences of halves, quarters and so on. */
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
