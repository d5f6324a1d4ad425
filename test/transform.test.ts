import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { analyze } from '../src/codecs/transform/analysis.js';
import { FIXED, fixedBasis } from '../src/codecs/transform/bases.js';
import { synthesize, TRANSFORMS } from '../src/codecs/transform/coefficients.js';
import { compactionCurve, gaussianCompaction } from '../src/codecs/transform/compaction.js';
import { symmetricEigen } from '../src/codecs/transform/eigen.js';
import { encodeTransform } from '../src/codecs/transform/encode.js';
import { decodeTransform } from '../src/codecs/transform/payload.js';
import { losslessKernels } from '../src/wasm/lossless.js';
import { seededRandom } from './helpers/safetensors.js';

const kernels = losslessKernels();
const SIZES = [4, 8, 16, 64];

function gaussian(count: number, seed = 1): Float32Array {
  const random = seededRandom(seed);
  return Float32Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
  );
}

function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [error, power] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    error += (a[i]! - b[i]!) ** 2;
    power += b[i]! ** 2;
  }
  return power ? error / power : error;
}

describe.each(Object.keys(FIXED))('%s', (name) => {
  test.each(SIZES)('is unitary to 1e-12 at %i', (size) => {
    const { real, imaginary } = fixedBasis(name, size);
    for (let a = 0; a < size; a++)
      for (let b = 0; b < size; b++) {
        let [re, im] = [0, 0]; // of row a times the conjugate of row b
        for (let n = 0; n < size; n++) {
          const [x, y] = [real[a * size + n]!, imaginary?.[a * size + n] ?? 0];
          const [u, v] = [real[b * size + n]!, imaginary?.[b * size + n] ?? 0];
          re += x * u + y * v;
          im += y * u - x * v;
        }
        expect(Math.abs(re - (a === b ? 1 : 0))).toBeLessThan(1e-12);
        expect(Math.abs(im)).toBeLessThan(1e-12);
      }
  });
});

describe('against their definitions', () => {
  const size = 16;
  const block = gaussian(size, 5);
  const coefficients = (transform: 'dct' | 'dft' | 'rft' | 'hadamard' | 'haar') =>
    analyze(block, { rows: 1, columns: size }, { transform, size, dimensions: 1 }).numbers;

  test('DCT-II', () => {
    const found = coefficients('dct');
    for (let k = 0; k < size; k++) {
      let sum = 0;
      for (let n = 0; n < size; n++) sum += block[n]! * Math.cos((Math.PI * (n + 0.5) * k) / size);
      expect(found[k]).toBeCloseTo(sum * Math.sqrt((k ? 2 : 1) / size), 10);
    }
  });

  test('Fourier: cosines and sines hold the energy of each pair of frequencies', () => {
    const found = coefficients('dft');
    for (let f = 0; f <= size / 2; f++) {
      let [re, im] = [0, 0];
      for (let n = 0; n < size; n++) {
        re += block[n]! * Math.cos((2 * Math.PI * f * n) / size);
        im -= block[n]! * Math.sin((2 * Math.PI * f * n) / size);
      }
      const alone = f === 0 || f === size / 2;
      const energy = ((re ** 2 + im ** 2) / size) * (alone ? 1 : 2);
      const own = alone ? found[f && size - 1]! ** 2 : found[2 * f - 1]! ** 2 + found[2 * f]! ** 2;
      expect(own).toBeCloseTo(energy, 10);
    }
  });

  test('Hadamard and Haar of four numbers', () => {
    const four = (transform: 'hadamard' | 'haar') => [
      ...analyze(Float32Array.of(1, 2, 3, 5), { rows: 1, columns: 4 }, { transform, size: 4, dimensions: 1 })
        .numbers,
    ];
    const close = (found: number[], expected: number[]) =>
      expect(relativeError(found, expected)).toBeLessThan(1e-24);
    close(four('hadamard'), [5.5, -1.5, -2.5, 0.5]);
    close(four('haar'), [5.5, -2.5, -1 / Math.SQRT2, -2 / Math.SQRT2]);
  });

  test('RFT: Phi (Phi^H Phi)^(-1/2), the root taken by eigenvectors', () => {
    const phi = (1 + Math.sqrt(5)) / 2;
    const angle = (n: number, k: number) => 2 * Math.PI * (((k + 1) * phi) % 1) * n;
    // a complex [n, n] matrix X + iY as the real [2n, 2n] matrix [X -Y; Y X]
    const double = 2 * size;
    const embed = (entry: (n: number, k: number) => readonly [number, number]) => {
      const matrix = new Float64Array(double * double);
      for (let n = 0; n < size; n++)
        for (let k = 0; k < size; k++) {
          const [re, im] = entry(n, k);
          matrix[n * double + k] = matrix[(n + size) * double + k + size] = re;
          matrix[(n + size) * double + k] = im;
          matrix[n * double + k + size] = -im;
        }
      return matrix;
    };
    const given = embed((n, k) => [Math.cos(angle(n, k)) / 4, Math.sin(angle(n, k)) / 4]);
    const times = (a: Float64Array, b: Float64Array, flip = false) =>
      Float64Array.from({ length: double * double }, (_, i) => {
        const [row, column] = [Math.floor(i / double), i % double];
        let sum = 0;
        for (let k = 0; k < double; k++)
          sum += a[flip ? k * double + row : row * double + k]! * b[k * double + column]!;
        return sum;
      });
    const { values, vectors } = symmetricEigen(times(given, given, true), double);
    const scaled = vectors.map((value, i) => value / Math.sqrt(values[Math.floor(i / double)]!));
    const expected = times(given, times(vectors, scaled, true));
    const found = coefficients('rft');
    for (let k = 0; k < size; k++) {
      let [re, im] = [0, 0]; // conjugate transpose times the block
      for (let n = 0; n < size; n++) {
        re += expected[n * double + k]! * block[n]!;
        im -= expected[(n + size) * double + k]! * block[n]!;
      }
      expect(found[k]).toBeCloseTo(re, 9);
      expect(found[size + k]).toBeCloseTo(im, 9);
    }
  });
});

const shapes = [
  { rows: 1, columns: 7 },
  { rows: 33, columns: 50 },
  { rows: 64, columns: 64 },
];

describe.each(TRANSFORMS)('%s', (transform) => {
  test.each([1, 2] as const)('gives the matrix back, in %i dimensions, edges and all', (dimensions) => {
    for (const shape of shapes) {
      const values = gaussian(shape.rows * shape.columns);
      const options = { transform, size: 8, dimensions };
      const back = synthesize(analyze(values, shape, options), shape, options);
      expect(relativeError(back, values)).toBeLessThan(transform === 'klt' ? 1e-8 : 1e-12);
    }
  });

  test('coded with a fine step, or with all numbers kept, is the same matrix', () => {
    for (const shape of shapes) {
      const values = gaussian(shape.rows * shape.columns, 3);
      const options = { transform, size: 8, dimensions: 2 as const };
      for (const coding of [{ step: 1e-3 }, { keep: 1e9 }]) {
        const payload = encodeTransform(kernels, values, shape, options, coding);
        expect(relativeError(decodeTransform(kernels, payload, shape), values)).toBeLessThan(2e-6);
      }
    }
  });

  test('a matrix of zeros stays one', () => {
    const shape = { rows: 16, columns: 16 };
    const options = { transform, size: 8, dimensions: 1 as const };
    for (const coding of [{ step: 0.1 }, { keep: 5 }]) {
      const payload = encodeTransform(kernels, new Float32Array(256), shape, options, coding);
      expect(decodeTransform(kernels, payload, shape)).toEqual(new Float32Array(256));
    }
  });

  test('NaN is refused', () => {
    const options = { transform, size: 4, dimensions: 1 as const };
    const values = Float32Array.of(1, Number.NaN, 3, 4);
    expect(() => analyze(values, { rows: 2, columns: 2 }, options)).toThrow(/NaN/);
  });

  test('damaged or cut, is refused with a reason, and nothing else', () => {
    const shape = { rows: 16, columns: 24 };
    const payload = encodeTransform(
      kernels,
      gaussian(384),
      shape,
      { transform, size: 8, dimensions: 1 },
      { step: 0.3 },
    );
    fc.assert(
      fc.property(
        fc.nat(payload.length - 1),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        (at, flip, cut) => {
          const bad = cut ? payload.slice(0, at) : payload.slice();
          if (!cut) bad[at]! ^= flip;
          try {
            expect(decodeTransform(kernels, bad, shape)).toHaveLength(384);
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
          }
        },
      ),
      { seed: 7, numRuns: 200 },
    );
  });
});

describe('what is known of them', () => {
  test('what an orthonormal transform drops is the error', () => {
    const shape = { rows: 64, columns: 64 };
    const values = gaussian(4096);
    for (const transform of ['none', 'dct', 'dft', 'hadamard', 'haar'] as const) {
      const options = { transform, size: 16, dimensions: 2 as const };
      const { numbers } = analyze(values, shape, options);
      const kept = compactionCurve(numbers, 4096, [0.1])[0]!;
      const payload = encodeTransform(kernels, values, shape, options, { keep: 410 });
      expect(relativeError(decodeTransform(kernels, payload, shape), values)).toBeCloseTo(1 - kept, 4);
      expect(kept).toBeCloseTo(gaussianCompaction(0.1), 1);
    }
  });

  test('levels stand for the mean of what was rounded to them', () => {
    const shape = { rows: 64, columns: 64 };
    const values = gaussian(4096, 4);
    const options = { transform: 'none', size: 8, dimensions: 1 } as const;
    const decoded = decodeTransform(
      kernels,
      encodeTransform(kernels, values, shape, options, { step: 1.2 }),
      shape,
    );
    for (const level of new Set(decoded.map(Math.abs))) {
      if (level === 0 || level > 2) continue; // of levels above 1, all together have one mean
      const own = [...values].filter((_, i) => Math.abs(decoded[i]!) === level).map(Math.abs);
      expect(own.reduce((sum, value) => sum + value, 0) / own.length).toBeCloseTo(level, 5);
    }
  });

  test('the limit of Gaussian numbers', () => {
    const of = (p: number, t: number) => p + (2 * t * Math.exp((-t * t) / 2)) / Math.sqrt(2 * Math.PI);
    expect(gaussianCompaction(0.1)).toBeCloseTo(of(0.1, 1.64485363), 7);
    expect(gaussianCompaction(0.001)).toBeCloseTo(of(0.001, 3.29052673), 7);
    expect(gaussianCompaction(1)).toBe(1);
  });

  test('Karhunen-Loeve compacts a correlated signal best, cosines nearly as well', () => {
    const noise = gaussian(16384, 9);
    const values = new Float32Array(16384);
    for (let i = 1; i < values.length; i++) values[i] = 0.95 * values[i - 1]! + noise[i]!;
    const curve = (transform: 'klt' | 'dct' | 'none') =>
      compactionCurve(
        analyze(values, { rows: 128, columns: 128 }, { transform, size: 16, dimensions: 1 }).numbers,
        16384,
        [0.1],
      )[0]!;
    expect(curve('klt')).toBeGreaterThanOrEqual(curve('dct') - 1e-3);
    expect(curve('dct')).toBeGreaterThan(curve('none') + 0.2);
  });

  test('few ranks hold a matrix of low rank', () => {
    const [rows, columns] = [48, 32];
    const [a, b] = [gaussian(rows * 2, 1), gaussian(columns * 2, 2)];
    const values = Float32Array.from({ length: rows * columns }, (_, i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      return a[row * 2]! * b[column * 2]! + a[row * 2 + 1]! * b[column * 2 + 1]!;
    });
    const shape = { rows, columns };
    const payload = encodeTransform(
      kernels,
      values,
      shape,
      { transform: 'svd', size: 8, dimensions: 1 },
      { keep: 160 },
    );
    expect(relativeError(decodeTransform(kernels, payload, shape), values)).toBeLessThan(1e-6);
  });

  test('their payloads do not change by accident', () => {
    const shape = { rows: 16, columns: 32 };
    const hash = createHash('sha256');
    for (const transform of ['dct', 'hadamard', 'haar'] as const)
      for (const coding of [{ step: 0.2 }, { keep: 100 }])
        hash.update(
          encodeTransform(kernels, gaussian(512), shape, { transform, size: 16, dimensions: 1 }, coding),
        );
    expect(hash.digest('hex').slice(0, 16)).toMatchInlineSnapshot(`"1c987551a4632ee7"`);
  });
});
