import type { Basis } from './basis.js';
import { addScaled, multiply, transpose } from './products.js';

/** A complex matrix [n, n]. */
interface Complex {
  readonly real: Float64Array;
  readonly imaginary: Float64Array;
}

const PHI = (1 + Math.sqrt(5)) / 2;

/**
 * Returns the "resonance Fourier transform" as defined by its authors: Phi[n, k] = exp(2 pi i f_k n) / sqrt N with f_k = frac((k + 1) phi),
 * made unitary as Phi (Phi^H Phi)^(-1/2); coefficients are its conjugate transpose times the block. Written from that formula only, as a
 * baseline for measurements. Its authors state that patents are pending.
 * @returns the analysis matrix, row k for coefficient k, unitary to 1e-12.
 */
export function resonanceBasis(size: number): Basis {
  const unitary = polarFactor(frequencies(size), size);
  // conjugate transpose: analysis
  const real = transpose(unitary.real, size, size);
  const imaginary = transpose(unitary.imaginary, size, size).map((value) => -value);
  return { size, real, imaginary };
}

function frequencies(size: number): Complex {
  const real = new Float64Array(size * size);
  const imaginary = new Float64Array(size * size);
  for (let n = 0; n < size; n++)
    for (let k = 0; k < size; k++) {
      const angle = 2 * Math.PI * ((((k + 1) * PHI) % 1) * n);
      real[n * size + k] = Math.cos(angle) / Math.sqrt(size);
      imaginary[n * size + k] = Math.sin(angle) / Math.sqrt(size);
    }
  return { real, imaginary };
}

const MAX_STEPS = 200;
const CONVERGED = 1e-15;

/**
 * Computes X (X^H X)^(-1/2) by the Newton-Schulz iteration X <- X (3 - X^H X) / 2, which needs only products and converges quadratically.
 * Higham, "Functions of Matrices", section 8.3.
 */
function polarFactor({ real, imaginary }: Complex, size: number): Complex {
  const scale = Math.sqrt(sumNorm({ real, imaginary }, size)); // at least the largest singular value
  let x: Complex = { real: real.map((v) => v / scale), imaginary: imaginary.map((v) => v / scale) };
  for (let step = 0; step < MAX_STEPS; step++) {
    const gram = gramOf(x, size);
    let off = 0;
    for (let i = 0; i < size; i++) off = Math.max(off, Math.abs(gram.real[i * size + i]! - 1));
    const factor = { real: gram.real.map((v) => -v / 2), imaginary: gram.imaginary.map((v) => -v / 2) };
    for (let i = 0; i < size; i++) factor.real[i * size + i]! += 1.5;
    x = times(x, factor, size);
    if (off < CONVERGED * size) break;
  }
  return x;
}

/** Returns the product of the largest absolute row and column sums. */
function sumNorm({ real, imaginary }: Complex, size: number): number {
  const rows = new Float64Array(size);
  const columns = new Float64Array(size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) {
      const magnitude = Math.hypot(real[i * size + j]!, imaginary[i * size + j]!);
      rows[i]! += magnitude;
      columns[j]! += magnitude;
    }
  return Math.max(...rows) * Math.max(...columns);
}

function times(a: Complex, b: Complex, size: number): Complex {
  const product = (x: Float64Array, y: Float64Array) => multiply(x, y, size, size, size);
  return {
    real: addScaled(product(a.real, b.real), product(a.imaginary, b.imaginary), -1),
    imaginary: addScaled(product(a.real, b.imaginary), product(a.imaginary, b.real), 1),
  };
}

function gramOf({ real, imaginary }: Complex, size: number): Complex {
  const conjugate = {
    real: transpose(real, size, size),
    imaginary: transpose(imaginary, size, size).map((value) => -value),
  };
  return times(conjugate, { real, imaginary }, size);
}
