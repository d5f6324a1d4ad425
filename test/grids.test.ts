import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromFloat16 } from '../src/core/float16.js';
import { randomNumbers } from '../src/core/random.js';
import type { GridCodes, GridFormat, Range } from '../src/grids/format.js';
import { GGML_GRIDS } from '../src/grids/ggml.js';
import { type Codes, ONNX_GRIDS } from '../src/grids/onnx.js';
import { DEQUANTIZE } from '../src/models/gguf/dequantize.js';
import { typeNamed } from '../src/models/gguf/types.js';

// The bytes that packers make are the numbers that they were given: for ggml's types by the decoders that test/gguf.test.ts compares with
// ggml's own, for ONNX Runtime's operator by its definition.

const { fround } = Math;

/** Codes of a scale or minimum that is a float16 of its own: 2^-24 to 2^4 times at most 11 bits. */
const SIGNIFICANDS = { low: -2048, high: 2048 };
const rangeOf = (range: GridFormat['minimums']): Range => {
  if (range === undefined) return { low: 0, high: 0 };
  if (range === 'float16') return SIGNIFICANDS;
  return 'zeroPoints' in range ? range.zeroPoints : range;
};
const levelsOf = ({ levels }: GridFormat): Range => ({ low: 0, high: levels.length - 1 });

/** Draws numbers of a range, each second one an end of it. */
const drawn = (random: () => number, count: number, { low, high }: Range) =>
  Array.from({ length: count }, () => {
    const ends = random();
    if (ends < 0.25) return low;
    return ends < 0.5 ? high : low + Math.floor(random() * (high - low + 1));
  });

/** Draws a matrix of codes, scales and minimums from all that a format can store. */
function drawMatrix(format: GridFormat, rows: number, columns: number, seed: number): GridCodes {
  const random = randomNumbers(seed);
  const groups = rows * Math.ceil(columns / format.group);
  const blocks = rows * Math.ceil(columns / format.block);
  const units = (range: GridFormat['minimums']) => {
    if (range === undefined || (range !== 'float16' && 'zeroPoints' in range)) return [];
    if (range === 'float16') return drawn(random, groups, { low: -24, high: 4 }).map((power) => 2 ** power);
    const sign = () => (random() < 0.5 ? 0x8000 : 0);
    return drawn(random, blocks, { low: 0, high: 0x7bff }).map((bits) => fromFloat16(sign() | bits));
  };
  return {
    rows,
    columns,
    codes: Uint8Array.from(drawn(random, rows * columns, levelsOf(format))),
    scales: Int16Array.from(drawn(random, groups, rangeOf(format.scales))),
    minimums: Int16Array.from(drawn(random, groups, rangeOf(format.minimums))),
    scaleUnits: Float32Array.from(units(format.scales)),
    minimumUnits: Float32Array.from(units(format.minimums)),
  };
}

/** Makes one row with every level, scale and minimum that a format has. Units are 1, so that another one is another weight. */
function everyNumber(format: GridFormat): GridCodes {
  const [scales, minimums] = [rangeOf(format.scales), rangeOf(format.minimums)];
  const most = Math.max(...[levelsOf(format), scales, minimums].map(({ low, high }) => high - low + 1));
  const columns = Math.ceil((most * format.group) / format.block) * format.block;
  const groups = columns / format.group;
  const all = (count: number, { low, high }: Range) =>
    Array.from({ length: count }, (_, i) => low + (i % (high - low + 1)));
  return {
    rows: 1,
    columns,
    codes: Uint8Array.from(all(columns, levelsOf(format))),
    scales: Int16Array.from(all(groups, scales)),
    minimums: Int16Array.from(all(groups, minimums)),
    scaleUnits: new Float32Array(groups).fill(1),
    minimumUnits: new Float32Array(groups).fill(1),
  };
}

/** Returns the weights of a matrix by the definition of its format. */
function weightsOf(format: GridFormat, matrix: GridCodes): Float32Array {
  const { rows, columns, codes, scales, minimums, scaleUnits, minimumUnits } = matrix;
  const groups = Math.ceil(columns / format.group);
  const perUnit = (range: GridFormat['minimums']) => (range === 'float16' ? 1 : format.block / format.group);
  const out = new Float32Array(rows * columns);
  for (let i = 0; i < out.length; i++) {
    const group = Math.floor(i / columns) * groups + Math.floor((i % columns) / format.group);
    const scale = fround(scaleUnits[Math.floor(group / perUnit(format.scales))]! * scales[group]!);
    const minimumUnit =
      typeof format.minimums === 'object' && 'zeroPoints' in format.minimums
        ? scale
        : (minimumUnits[Math.floor(group / perUnit(format.minimums))] ?? 0);
    out[i] = fround(scale * format.levels[codes[i]!]!) - fround(minimumUnit * minimums[group]!);
  }
  return out;
}

/** Checks that two lists are the same numbers, of which 0 and -0 are one. */
function expectSame(found: Float32Array, expected: Float32Array): void {
  expect(found.length).toBe(expected.length);
  const at = found.findIndex((value, i) => value !== expected[i]);
  expect(at < 0 || { at, found: found[at], expected: expected[at] }).toBe(true);
}

const property = (check: (rows: number, blocks: number, seed: number) => void) =>
  fc.assert(fc.property(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 5 }), fc.nat(), check), {
    seed: 41,
    numRuns: 40,
  });

describe.each(Object.values(GGML_GRIDS))('$format.name', ({ format, pack }) => {
  const { blockElements, blockBytes } = typeNamed(format.name);
  const decoded = (matrix: GridCodes) => {
    const bytes = pack(matrix);
    const floats = new Float32Array(matrix.rows * matrix.columns);
    expect(bytes.length).toBe((floats.length / blockElements) * blockBytes);
    for (let block = 0; block * blockElements < floats.length; block++)
      DEQUANTIZE[format.name]!(bytes, block * blockBytes, floats, block * blockElements);
    return floats;
  };

  it('decodes to the weights that were packed', () => {
    expect(format.block).toBe(blockElements);
    property((rows, blocks, seed) => {
      const matrix = drawMatrix(format, rows, blocks * format.block, seed);
      expectSame(decoded(matrix), weightsOf(format, matrix));
    });
  });

  it('has a number for every bit of a block', () => {
    const groups = format.block / format.group;
    const bitsOf = (range: GridFormat['minimums']) => {
      if (range === undefined) return 0;
      if (range === 'float16') return groups * 16;
      const { low, high } = rangeOf(range);
      return groups * Math.log2(high - low + 1) + 16;
    };
    const codes = format.block * Math.log2(format.levels.length);
    expect(codes + bitsOf(format.scales) + bitsOf(format.minimums)).toBe(8 * blockBytes);
  });

  it('keeps every level, scale and minimum', () => {
    const matrix = everyNumber(format);
    expectSame(decoded(matrix), weightsOf(format, matrix));
  });
});

/** Returns the weights that MatMulNBits computes with: (code - zero point) x scale. */
function onnxWeights(packed: Codes, rows: number, columns: number): Float32Array {
  const { codes, scales, zeros } = packed;
  const groups = Math.ceil(columns / 32);
  const half = (bytes: Uint8Array, width: number, row: number, i: number) =>
    (bytes[row * Math.ceil(width / 2) + (i >> 1)]! >> (4 * (i & 1))) & 15;
  const out = new Float32Array(rows * groups * 32);
  for (let i = 0; i < out.length; i++) {
    const [row, column] = [Math.floor(i / (groups * 32)), i % (groups * 32)];
    const group = column >> 5;
    const level = zeros
      ? half(codes, groups * 32, row, column) - half(zeros, groups, row, group)
      : codes[i]! - 128;
    out[i] = level * fromFloat16(scales[row * groups + group]!);
  }
  return out;
}

describe.each(Object.values(ONNX_GRIDS))('$format.name', ({ format, pack }) => {
  it('decodes to the weights that were packed, and to 0 behind the last column', () => {
    property((rows, blocks, seed) => {
      const columns = blocks * 32 - (seed % 32);
      const matrix = drawMatrix(format, rows, columns, seed);
      const [all, weights] = [onnxWeights(pack(matrix), rows, columns), weightsOf(format, matrix)];
      const width = blocks * 32;
      for (let row = 0; row < rows; row++) {
        expectSame(
          all.subarray(row * width, row * width + columns),
          weights.subarray(row * columns, (row + 1) * columns),
        );
        expect(all.subarray(row * width + columns, (row + 1) * width).every((value) => value === 0)).toBe(
          true,
        );
      }
    });
  });

  it('keeps every level, scale and minimum', () => {
    const matrix = everyNumber(format);
    expectSame(onnxWeights(pack(matrix), 1, matrix.columns), weightsOf(format, matrix));
  });
});
