import { describe, expect, it } from 'vitest';
import { fromFloat16, toFloat16 } from '../src/core/float16.js';
import { normalNumbers } from '../src/core/random.js';
import { transposed } from '../src/core/transposed.js';
import { ChosenGrids } from '../src/grids/chosen.js';
import type { GridCodes, GridFormat } from '../src/grids/format.js';
import { GGML_GRIDS } from '../src/grids/ggml.js';
import { ONNX_GRIDS } from '../src/grids/onnx.js';
import { roundToGrids } from '../src/grids/round.js';
import { DEQUANTIZE } from '../src/models/gguf/dequantize.js';
import { typeNamed } from '../src/models/gguf/types.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { factorize } from '../src/quantization/quantizer/factor.js';
import type { GridInput } from '../src/quantization/quantizer/grid-input.js';
import { quantizeToGrids } from '../src/quantization/quantizer/grids.js';
import { lossOfErrors } from '../src/quantization/quantizer/loss.js';
import { feedErrors } from '../src/quantization/quantizer/matrix.js';
import { Products } from '../src/quantization/quantizer/products.js';
import { reviseGrids } from '../src/quantization/quantizer/revise.js';
import { GridKernel } from '../src/wasm/grids.js';
import {
  type Compared,
  chooseSlowly,
  lossOf,
  reviseSlowly,
  type SlowMatrix,
  times,
} from './helpers/grid-quantizer.js';

const products = new Products(await loadRuntime());
const kernel = new GridKernel();

const FORMATS: readonly GridFormat[] = [...Object.values(GGML_GRIDS), ...Object.values(ONNX_GRIDS)].map(
  ({ format }) => format,
);
const formatNamed = (name: string) => FORMATS.find((format) => format.name.startsWith(name))!;
/** Columns of two panels: whole blocks for ggml; for ONNX Runtime the last group is short. */
const columnsOf = ({ name, block }: GridFormat) =>
  name.startsWith('MatMul') ? 150 : block === 256 ? 256 : 160;

/** Which errors interact. */
type Sides = 'neither' | 'columns' | 'rows' | 'both';
const SIDES: readonly Sides[] = ['neither', 'columns', 'rows', 'both'];

/** A matrix as the quantizer and as the slow way take it. */
interface Example {
  readonly input: GridInput;
  readonly slow: SlowMatrix;
}

/** The second moment of random vectors, damped: neighbors are alike, some entries are larger than others. */
function moment(n: number, seed: number): Float32Array {
  const normal = normalNumbers(seed);
  const samples = n + 16;
  const scales = Array.from({ length: n }, () => Math.exp(0.5 * normal()));
  const vectors = new Float64Array(samples * n);
  for (let i = 0, last = 0; i < vectors.length; i++) {
    last = i % n === 0 ? normal() : 0.7 * last + 0.7 * normal();
    vectors[i] = (last * scales[i % n]!) / Math.sqrt(samples);
  }
  const across = vectors.map((_, i) => vectors[(i % samples) * n + Math.floor(i / samples)]!);
  const matrix = Float32Array.from(times(across, vectors, n, samples, n));
  for (let i = 0; i < n; i++) matrix[i * n + i]! += 0.05;
  return matrix;
}

const diagonalOf = (matrix: Float32Array, n: number) =>
  Float32Array.from({ length: n }, (_, i) => matrix[i * (n + 1)]!);

interface Side {
  readonly matrix: Float32Array;
  /** The matrix, or its diagonal. */
  readonly moments: Float32Array;
  readonly costs: Float32Array;
  readonly factor: Float32Array | undefined;
}

const sides = new Map<string, Promise<Side>>();

/** Returns moments of n rows or columns with their factor; the same ones each time. */
function sideOf(n: number, interacts: boolean): Promise<Side> {
  const key = `${n} ${interacts}`;
  if (!sides.has(key)) sides.set(key, makeSide(n, interacts));
  return sides.get(key)!;
}

async function makeSide(n: number, interacts: boolean): Promise<Side> {
  const full = moment(n, n);
  const diagonal = diagonalOf(full, n);
  if (!interacts) {
    const matrix = full.map((value, i) => (i % (n + 1) === 0 ? value : 0));
    return { matrix, moments: diagonal, costs: diagonal, factor: undefined };
  }
  const { upper, diagonal: roots } = await factorize(products, full.slice(), n, 0, 'moments');
  return { matrix: full, moments: full, costs: roots.map((root) => root * root), factor: upper };
}

async function example(rows: number, columns: number, sides: Sides, own?: Float32Array): Promise<Example> {
  const normal = normalNumbers(rows * 1000 + columns);
  const spread = Array.from({ length: rows }, () => Math.exp(0.5 * normal()));
  const weights =
    own ??
    Float32Array.from(
      { length: rows * columns },
      (_, i) => 0.05 * spread[Math.floor(i / columns)]! * normal(),
    );
  const h = await sideOf(columns, sides === 'columns' || sides === 'both');
  const g = await sideOf(rows, sides === 'rows' || sides === 'both');
  return {
    input: {
      name: 'h.0.weight',
      rows,
      columns,
      weights,
      columnCosts: h.costs,
      columnMoments: h.moments,
      rowMoments: g.moments,
      columnFactor: h.factor,
      rowFactor: g.factor,
    },
    slow: { rows, columns, weights, H: h.matrix, G: g.matrix },
  };
}

/** A matrix as it is after each pass: chosen, and as often revised as is asked for. */
interface Stage {
  readonly codes: GridCodes;
  /** [rows, columns], as the quantizer knows them. */
  readonly errors: Float32Array;
}

async function stagesOf(input: GridInput, format: GridFormat, revisions = 2, by = kernel): Promise<Stage[]> {
  const chosen = new ChosenGrids(by, input, format);
  const stage = () => {
    const codes = chosen.result();
    const { rows, columns } = input;
    const errors = chosen.errors.map(
      (_, i) => chosen.errors[(i % columns) * rows + Math.floor(i / columns)]!,
    );
    return { codes: { ...codes, codes: codes.codes.slice() }, errors };
  };
  await feedErrors(products, input, {
    setRows: (top, bottom, factor) => by.setRows(bottom - top, factor),
    quantize: (place, factor, given) => chosen.choose(place, factor, given),
  });
  const stages = [stage()];
  for (let i = 0; i < revisions; i++) {
    await reviseGrids(by, products, input, chosen, format.group);
    stages.push(stage());
  }
  return stages;
}

/** Returns the weights that codes decode to, in a runtime's float32. */
function decoded(format: GridFormat, matrix: GridCodes): Float32Array {
  const { rows, columns, codes } = matrix;
  const floats = new Float32Array(rows * columns);
  const ggml = GGML_GRIDS[format.name];
  if (ggml) {
    const { blockElements, blockBytes } = typeNamed(format.name);
    const bytes = ggml.pack(matrix);
    for (let block = 0; block * blockElements < floats.length; block++)
      DEQUANTIZE[format.name]!(bytes, block * blockBytes, floats, block * blockElements);
    return floats;
  }
  const groups = Math.ceil(columns / format.group);
  return floats.map((_, i) => {
    const group = Math.floor(i / columns) * groups + Math.floor((i % columns) / format.group);
    const scale = fromFloat16(toFloat16(matrix.scales[group]! * matrix.scaleUnits[group]!));
    return (format.levels[codes[i]!]! - matrix.minimums[group]!) * scale;
  });
}

const errorsOf = (format: GridFormat, matrix: GridCodes, weights: ArrayLike<number>) =>
  Float64Array.from(decoded(format, matrix), (value, i) => value - weights[i]!);

/** Checks that choices are the slow way's, one by one: rounding to float32 may change one in a hundred, by little. */
function expectSame(choices: readonly Compared[]): void {
  let [differing, own, slow] = [0, 0, 0];
  for (const choice of choices) {
    own += choice.followed.cost;
    slow += choice.slow.cost;
    const [a, b] = [choice.followed, choice.slow];
    if (a.scale !== b.scale || a.minimum !== b.minimum || a.codes.join() !== b.codes.join()) differing++;
  }
  expect(differing).toBeLessThanOrEqual(Math.ceil(choices.length / 100));
  expect(Math.abs(own - slow)).toBeLessThanOrEqual(slow * 1e-3);
}

/** Returns the codes of the slow way's choices, with the units of other ones. */
function codesOf({ group }: GridFormat, choices: readonly Compared[], like: GridCodes): GridCodes {
  const groups = Math.ceil(like.columns / group);
  const found = {
    ...like,
    codes: like.codes.slice(),
    scales: like.scales.slice(),
    minimums: like.minimums.slice(),
  };
  for (const { slow } of choices) {
    found.codes.set(slow.codes, slow.row * like.columns + slow.start);
    found.scales[slow.row * groups + slow.start / group] = slow.scale;
    found.minimums[slow.row * groups + slow.start / group] = slow.minimum;
  }
  return found;
}

describe.each(FORMATS)('$name', (format) => {
  const columns = columnsOf(format);
  const one = SIDES[FORMATS.indexOf(format) % 4]!;

  it.each([...new Set<Sides>([one, 'both'])])(
    'has the choices of the slow way, one by one, where errors interact along %s',
    async (along) => {
      const { input, slow } = await example(6, columns, along);
      const [first, second, third] = (await stagesOf(input, format)).map(({ codes }) => codes);
      expectSame(chooseSlowly(slow, format, first!, first).choices);
      expectSame(reviseSlowly(slow, format, first!, second).choices);
      expectSame(reviseSlowly(slow, format, second!, third).choices);
    },
  );

  it('has the codes of the slow way, from its own first choice to its last', async () => {
    const { input, slow } = await example(
      3,
      format.name.startsWith('M') ? 55 : Math.max(64, format.block),
      'both',
    );
    const found = await quantizeToGrids(kernel, products, input, format);
    let own = codesOf(format, chooseSlowly(slow, format, found).choices, found);
    for (let i = 0; i < 2; i++) own = codesOf(format, reviseSlowly(slow, format, own).choices, found);
    const [a, b] = [found, own].map((codes) => lossOf(slow, errorsOf(format, codes, input.weights)));
    expect(Math.abs(a! / b! - 1)).toBeLessThan(0.02);
    if (format.levels.length < 256) expect(found).toEqual(own); // with more levels, more of them are close to a border
  });

  it('knows its errors exactly, and loses less with each pass', async () => {
    for (const along of SIDES) {
      const { input, slow } = await example(16, columns, along);
      const losses: number[] = [];
      for (const { codes, errors } of await stagesOf(input, format)) {
        const real = errorsOf(format, codes, input.weights);
        expect(errors).toEqual(Float32Array.from(real));
        losses.push(lossOf(slow, real));
        const known = await lossOfErrors(products, input, transposed(errors, 16, columns));
        expect(Math.abs(known / losses.at(-1)! - 1)).toBeLessThan(1e-3);
      }
      const rounded = roundToGrids('w', input.weights, 16, columns, format);
      const [first, second, third] = losses as [number, number, number];
      expect(second).toBeLessThanOrEqual(first * (along === 'neither' ? 1 : 0.98));
      expect(third).toBeLessThanOrEqual(second * (1 + 1e-6));
      const share = third / lossOf(slow, errorsOf(format, rounded, input.weights));
      expect(share).toBeLessThan({ neither: 1, columns: 0.5, rows: 0.5, both: 0.25 }[along]);
    }
  });

  it('rounds groups of zeros to zeros, and a huge weight without harm to other blocks', () => {
    const normal = normalNumbers(7);
    const width = 2 * format.block;
    const weights = Float32Array.from({ length: 3 * width }, () => 0.01 * normal());
    weights.fill(0, 0, width);
    weights.fill(0, width, width + format.block);
    weights[2 * width] = -2e4;
    const errors = errorsOf(format, roundToGrids('w', weights, 3, width, format), weights);
    expect(errors.subarray(0, width + format.block).every((error) => error === 0)).toBe(true);
    expect(Math.abs(errors[2 * width]!)).toBeLessThan(2e4 / 20);
    const square = (values: Float64Array) => values.reduce((sum, value) => sum + value * value, 0);
    const blocks = [3, 5].map((block) =>
      square(errors.subarray(block * format.block, (block + 1) * format.block)),
    );
    expect(blocks[1]! / blocks[0]!).toBeGreaterThan(0.3);
    expect(blocks[1]! / blocks[0]!).toBeLessThan(3);
  });

  it('takes what its scales reach, and refuses more by name', async () => {
    const most = 65504 * Math.max(...format.levels.map(Math.abs));
    for (const huge of [1.2 * most, 1e12, 1e20, 1e25, 1e30, 3e38, -3e38])
      for (const place of [0, 3 * format.block + 5]) {
        const weights = Float32Array.from({ length: 4 * format.block }, (_, i) => Math.sin(i * i));
        weights[place] = huge;
        const row = place ? 1 : 0;
        const message = expect.stringMatching(new RegExp(`h.0.weight.*row ${row}: .*too large.*float16`));
        const refusal = { name: 'InputError', message };
        const { input } = await example(2, 2 * format.block, 'both', weights);
        await expect(quantizeToGrids(new GridKernel(), products, input, format)).rejects.toMatchObject(
          refusal,
        );
        await expect(quantizeToGrids(kernel, products, input, format)).rejects.toMatchObject(refusal);
      }
    const weights = Float32Array.from({ length: format.block }, (_, i) => 6e4 * Math.sin(i * i));
    const errors = errorsOf(format, roundToGrids('w', weights, 1, format.block, format), weights);
    for (const error of errors) expect(Math.abs(error)).toBeLessThan(6e4 / 2);
  });

  it('takes weights that no float16 scale is small enough for', async () => {
    for (const size of [1e-6, 1e-12, 1e-42]) {
      const normal = normalNumbers(3);
      const weights = Float32Array.from({ length: 4 * columns }, () => size * normal());
      const { input } = await example(4, columns, 'both', weights);
      const codes = await quantizeToGrids(kernel, products, input, format);
      for (const value of decoded(format, codes)) expect(Math.abs(value)).toBeLessThan(8 * size + 2 ** -17);
      for (const [i, error] of errorsOf(format, codes, weights).entries())
        if (size < 1e-10) expect(error).toBe(-weights[i]!);
    }
  });

  it('does not depend on what the kernel did before', async () => {
    const { input } = await example(5, columns - (format.name.startsWith('M') ? 30 : 0), 'both');
    const fresh = await quantizeToGrids(new GridKernel(), products, input, format);
    for (const other of [formatNamed('Q4_1'), formatNamed('Q3_K')])
      for (const along of ['both', 'neither'] as const) {
        const larger = await example(20, 256, along);
        for (let i = 0; i < larger.input.weights.length; i++) larger.input.weights[i]! *= 1e4;
        await quantizeToGrids(kernel, products, larger.input, other);
        expect(await quantizeToGrids(kernel, products, input, format)).toEqual(fresh);
      }
  });

  it('uses the whole range of its scales, and good ones of them', () => {
    const normal = normalNumbers(5);
    const weights = Float32Array.from(
      { length: 512 },
      (_, i) => 0.01 * Math.exp(0.3 * Math.sin(i / 16)) * normal(),
    );
    const found = roundToGrids('w', weights, 1, 512, format);
    if (format.scales !== 'float16') {
      const { low, high } = format.scales;
      const most = low < 0 ? -low : high;
      for (const block of [0, 1]) {
        const own = found.scales.subarray((block * 256) / format.group, ((block + 1) * 256) / format.group);
        expect(Math.max(...own.map(Math.abs)) / most).toBeGreaterThan(0.8);
      }
    }
    const errors = errorsOf(format, found, weights);
    const square = errors.reduce((sum, error) => sum + error * error, 0);
    expect(square / bestSquare(format, found, weights)).toBeLessThan(1.2);
  });
});

/** Returns the squared error of the best scales and minimums, with the units of a matrix of one row. */
function bestSquare(
  format: GridFormat,
  { scaleUnits, minimumUnits }: GridCodes,
  weights: Float32Array,
): number {
  const { group, block, levels, scales, minimums } = format;
  const [step, [low, high]] = scales === 'float16' ? [5, [-2047, 2047]] : [1, [scales.low, scales.high]];
  let total = 0;
  for (let start = 0; start < weights.length; start += group) {
    const own = weights.subarray(start, start + group);
    const unitOf = (units: Float32Array, isOwn: boolean) =>
      units[Math.floor(start / (isOwn ? group : block))]!;
    let best = Number.POSITIVE_INFINITY;
    for (let code = low!; code <= high!; code += step) {
      const scale = code * unitOf(scaleUnits, scales === 'float16');
      if (scale === 0 || (minimums && scale < 0)) continue;
      for (const minimum of minimumsOf(scale, own)) {
        let sum = 0;
        for (let i = 0; i < group && sum < best; i++)
          sum += nearestError(levels, scale, own[i]! + minimum) ** 2;
        best = Math.min(best, sum);
      }
    }
    total += best;

    /** Minimums near what centers the levels of a scale on the group; all others are worse. */
    function minimumsOf(scale: number, values: Float32Array): number[] {
      if (!minimums) return [0];
      const range =
        minimums === 'float16' ? undefined : 'zeroPoints' in minimums ? minimums.zeroPoints : minimums;
      const unit =
        typeof minimums === 'object' && 'zeroPoints' in minimums
          ? scale
          : unitOf(minimumUnits, minimums === 'float16');
      const middle = (levels.at(-1)! * scale - Math.min(...values) - Math.max(...values)) / 2 / unit;
      const around = Math.max(1.01, (2 * scale) / unit);
      return Array.from({ length: 9 }, (_, i) => Math.round(middle + ((i - 4) / 4) * around))
        .filter((code) => !range || (code >= range.low && code <= range.high))
        .map((code) => code * unit);
    }
  }
  return total;
}

function nearestError(levels: readonly number[], scale: number, value: number): number {
  let least = Number.POSITIVE_INFINITY;
  const steps = value / scale;
  if (levels.at(-1)! - levels[0]! === levels.length - 1)
    return scale * (Math.min(levels.at(-1)!, Math.max(levels[0]!, Math.round(steps))) - steps);
  for (const level of levels) least = Math.min(least, Math.abs(level - steps));
  return scale * least;
}

describe('a matrix of several blocks of rows and panels of columns', () => {
  // biome-ignore format: a line a shape
  const SHAPES: readonly (readonly [rows: number, columns: number, along: Sides, format: string])[] = [
    [265, 144, 'both', 'MatMulNBits, 4'], [257, 33, 'rows', 'MatMulNBits, 8'], [257, 1, 'both', 'MatMulNBits, 4'], [513, 20, 'both', 'MatMulNBits, 4'],
    [30, 160, 'columns', 'IQ4_NL'], [258, 256, 'both', 'Q3_K'], [1, 288, 'both', 'Q4_1'], [7, 129, 'both', 'MatMulNBits, 8'],
    [1, 1, 'both', 'MatMulNBits, 4'],
  ];
  it.each(SHAPES)(
    'has the choices of the slow way: %i x %i, along %s, %s',
    async (rows, columns, along, name) => {
      const format = formatNamed(name);
      const { input, slow } = await example(rows, columns, along);
      const [first, second] = await stagesOf(input, format, 1);
      const choices = chooseSlowly(slow, format, first!.codes, first!.codes).choices;
      expectSame(choices);
      expectSame(choices.filter(({ slow: { row } }) => row === rows - 1));
      const revised = reviseSlowly(slow, format, first!.codes, second!.codes);
      expectSame(revised.choices);
      const losses = [first!, second!].map(({ codes }) =>
        lossOf(slow, errorsOf(format, codes, input.weights)),
      );
      expect(losses[1]).toBeLessThanOrEqual(losses[0]!);
      expect(Math.abs(lossOf(slow, revised.errors) / losses[1]! - 1)).toBeLessThan(1e-6);
    },
  );

  it('loses less, the more errors interact, and most beside rounding', async () => {
    const format = formatNamed('MatMulNBits, 4');
    const { input: whole, slow } = await example(64, 200, 'both');
    const rounded = roundToGrids('w', whole.weights, 64, 200, format);
    const losses = [lossOf(slow, errorsOf(format, rounded, whole.weights))];
    for (const along of ['neither', 'columns', 'both'] as const) {
      const { input } = await example(64, 200, along);
      const codes = await quantizeToGrids(kernel, products, input, format);
      losses.push(lossOf(slow, errorsOf(format, codes, whole.weights)));
    }
    for (const factor of [1, 0.6, 0.6]) expect(losses[1]!).toBeLessThan(factor * losses.shift()!);
  });

  it('is its blocks one by one, where rows do not interact', async () => {
    const { input } = await example(300, 96, 'columns');
    const { group } = formatNamed('Q4_0');
    const whole = await quantizeToGrids(kernel, products, input, formatNamed('Q4_0'));
    const part = {
      ...input,
      rows: 44,
      weights: input.weights.slice(256 * 96),
      rowMoments: input.rowMoments.slice(256),
    };
    const found = await quantizeToGrids(kernel, products, part, formatNamed('Q4_0'));
    expect(found.codes).toEqual(whole.codes.slice(256 * 96));
    expect(found.scales).toEqual(whole.scales.slice((256 * 96) / group));
  });
});

describe('revision', () => {
  it.each([
    ['both', 30, 120],
    ['both', 270, 140],
    ['rows', 270, 140],
    ['columns', 270, 140],
  ] as const)('keeps the gradient up to date: along %s, %i x %i', async (along, rows, columns) => {
    const format = formatNamed('MatMulNBits, 4');
    const { input, slow } = await example(rows, columns, along);
    const { codes } = (await stagesOf(input, format, 1)).at(-1)!;
    const errors = errorsOf(format, codes, input.weights);
    const gradient = times(times(slow.G, errors, rows, rows, columns), slow.H, rows, columns, columns);
    // What the kernel was left with: the gradient of its last group of columns, in the last block of rows.
    const top = Math.floor((rows - 1) / 256) * 256;
    const panel = Math.floor((columns - 1) / 128) * 128;
    const largest = Math.max(...gradient.map(Math.abs));
    for (let column = Math.floor((columns - 1) / 32) * 32; column < columns; column++)
      for (let row = top; row < rows; row++) {
        const found = kernel.buffers.pushed[(column - panel) * 256 + row - top]!;
        expect(Math.abs(found - gradient[row * columns + column]!) / largest).toBeLessThan(1e-5);
      }
  });

  it('is what the quantizer does twice, but not where nothing interacts', async () => {
    const format = formatNamed('Q4_K');
    for (const along of SIDES) {
      const { input } = await example(10, 256, along);
      const stages = await stagesOf(input, format);
      const found = await quantizeToGrids(kernel, products, input, format);
      expect(found).toEqual(stages[along === 'neither' ? 0 : 2]!.codes);
    }
  });

  it('changes no group whose rows or columns cost nothing', async () => {
    const format = formatNamed('Q4_0');
    const { input } = await example(6, 64, 'both');
    const moments = {
      ...input,
      rowMoments: input.rowMoments.slice(),
      columnMoments: input.columnMoments.slice(),
    };
    for (let i = 0; i < 6; i++) moments.rowMoments[2 * 6 + i] = moments.rowMoments[i * 6 + 2] = 0;
    const [first, second] = await stagesOf(moments, format, 1);
    expect(second!.codes.codes.slice(128, 192)).toEqual(first!.codes.codes.slice(128, 192));
    expect(second!.codes.codes).not.toEqual(first!.codes.codes);
  });
});
