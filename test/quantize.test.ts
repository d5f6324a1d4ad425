import { describe, expect, it } from 'vitest';
import { MAX_INDEX, ROWS_PER_BLOCK, stepSizes } from '../src/codecs/trellis/levels.js';
import { initialPrices } from '../src/codecs/trellis/prices.js';
import { randomNumbers } from '../src/core/random.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { setChoices } from '../src/quantization/quantizer/choices.js';
import { factorize } from '../src/quantization/quantizer/factor.js';
import { type MatrixInput, quantizeMatrix } from '../src/quantization/quantizer/matrix.js';
import { Products } from '../src/quantization/quantizer/products.js';
import { stepCodes } from '../src/quantization/quantizer/steps.js';
import { PANEL_COLUMNS, QuantizerKernel } from '../src/wasm/quantize.js';
import { type Choices, contextOf, decodeSlowly, objective, quantizeSlowly } from './helpers/trellis.js';

const nodeRuntime = await loadRuntime();

const products = new Products(nodeRuntime);
const kernel = new QuantizerKernel();
const CHOICES: Choices = { prices: initialPrices(), shrinks: new Float32Array(512), lambda: 0.15 };
/** Values nearer to zero than their levels, differently in every table. */
const SHRUNK: Choices = {
  ...CHOICES,
  shrinks: Float32Array.from({ length: 512 }, (_, i) => (i % 4 === 0 ? 0 : 0.3 / (i % 4) + (i % 7) / 100)),
};

/** Prices that draw choices 1.5 steps towards zero: often the nearest of a parity is not the best. */
const STEEP: Choices = {
  ...CHOICES,
  prices: CHOICES.prices.map((_, i) => 6 * Math.abs((i % (2 * MAX_INDEX + 1)) - MAX_INDEX)),
  lambda: 1,
};

function gaussian(seed: number): () => number {
  const random = randomNumbers(seed);
  return () => Math.sqrt(-2 * Math.log(random() + 2 ** -33)) * Math.cos(2 * Math.PI * random());
}

/** [m, k] times [k, n], in float64. */
function times(a: ArrayLike<number>, b: ArrayLike<number>, m: number, k: number, n: number): Float64Array {
  const result = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let l = 0; l < k; l++)
      for (let j = 0; j < n; j++) result[i * n + j]! += a[i * k + l]! * b[l * n + j]!;
  return result;
}

/** The second moment, [n, n], of `samples` random vectors: neighbors are alike, some entries are larger than others. */
function moment(n: number, seed: number, samples = n + 16): Float32Array {
  const normal = gaussian(seed);
  const scales = Array.from({ length: n }, () => Math.exp(0.7 * normal()));
  const vectors = new Float64Array(n * samples); // [n, samples]
  for (let sample = 0; sample < samples; sample++)
    for (let i = 0, last = 0; i < n; i++) {
      last = 0.8 * last + 0.6 * normal();
      vectors[i * samples + sample] = (last * scales[i]!) / Math.sqrt(samples);
    }
  const transposed = vectors.map((_, i) => vectors[(i % n) * samples + Math.floor(i / n)]!);
  return Float32Array.from(times(vectors, transposed, n, samples, n));
}

type Sides = 'neither' | 'columns' | 'rows' | 'both';

interface Example extends MatrixInput {
  readonly H: Float32Array;
  readonly G: Float32Array;
}

/** A random matrix of a typical weight of `size` steps, with errors fed on one side, or both. */
async function example(rows: number, columns: number, sides: Sides, size = 3): Promise<Example> {
  const normal = gaussian(rows * 1000 + columns);
  const spread = Array.from({ length: rows }, () => Math.exp(0.5 * normal()));
  const weights = Float32Array.from(
    { length: rows * columns },
    (_, i) => 0.05 * spread[Math.floor(i / columns)]! * normal(),
  );
  const [H, G] = [moment(columns, columns), moment(rows, rows)];
  const h = await factorize(products, H.slice(), columns, 0.05, 'H');
  const g = await factorize(products, G.slice(), rows, 0.2, 'G');
  const typical = (scales: Float32Array) => scales.toSorted()[scales.length >> 1]!;
  const step = (0.05 / size) * typical(g.diagonal) * typical(h.diagonal);
  const codes = stepCodes(weights, g.diagonal, h.diagonal, step);
  return {
    rows,
    columns,
    weights,
    columnFactor: sides === 'columns' || sides === 'both' ? h.upper : undefined,
    rowFactor: sides === 'rows' || sides === 'both' ? g.upper : undefined,
    rowSteps: stepSizes(codes.rows.steps as Int16Array, 1),
    columnSteps: stepSizes(codes.columns.steps as Int16Array, codes.scale),
    rowContexts: codes.rows.contexts,
    columnContexts: codes.columns.contexts,
    H,
    G,
  };
}

function quantize(matrix: MatrixInput, choices = CHOICES, by = kernel): Promise<Int16Array> {
  setChoices(by, choices.prices, choices.shrinks, choices.lambda);
  return quantizeMatrix(by, products, matrix);
}

/** tr(G E H E^T) */
function loss({ rows, columns, weights, H, G }: Example, decoded: Float64Array): number {
  const errors = decoded.map((value, i) => value - weights[i]!);
  const left = times(G, errors, rows, rows, columns);
  return times(errors, H, rows, columns, columns).reduce((sum, value, i) => sum + value * left[i]!, 0);
}

/** Rows `start` to `end` of a matrix. */
function rowsOf(matrix: Example, start: number, end: number): Example {
  const { columns, weights, rowSteps, rowContexts } = matrix;
  return {
    ...matrix,
    rows: end - start,
    weights: weights.slice(start * columns, end * columns),
    rowSteps: rowSteps.slice(start, end),
    rowContexts: rowContexts.slice(start, end),
  };
}

describe('a quantized matrix', () => {
  // biome-ignore format: a line a shape
  const SHAPES: readonly (readonly [rows: number, columns: number, sides: Sides])[] = [
    [1, 1, 'both'], [1, 300, 'columns'], [255, 3, 'both'], [256, 129, 'both'], [257, 127, 'rows'], [257, 128, 'both'],
    [300, 20, 'neither'], [600, 40, 'both'], [600, 1, 'rows'], [258, 130, 'columns'], [7, 257, 'both'],
  ];
  it.each(SHAPES)(
    'costs what the slow way finds: %i x %i, errors fed to %s',
    { tags: 'slow' },
    async (rows, columns, sides) => {
      const matrix = await example(rows, columns, sides);
      const found = objective(matrix, CHOICES, await quantize(matrix));
      const slow = objective(matrix, CHOICES, quantizeSlowly(matrix, CHOICES));
      expect(Math.abs(found.cost / slow.cost - 1)).toBeLessThan(0.005);
      if (rows * columns > 1000) expect(Math.abs(found.bits / slow.bits - 1)).toBeLessThan(0.005);
    },
  );

  it.each([0.05, 0.3, 3, 30])(
    "is the slow way's own of %f steps a weight, deciding rows as early",
    { tags: 'slow' },
    async (size) => {
      const matrix = await example(290, 24, 'both', size);
      for (const choices of [CHOICES, SHRUNK, STEEP, { ...CHOICES, lambda: 0 }]) {
        const found = await quantize(matrix, choices);
        const slow = quantizeSlowly(matrix, choices, { run: 16, depth: 64 });
        // Of two choices that cost the same either may be taken; all that follows differs then.
        const differing = found.filter((k, i) => k !== slow[i]).length / found.length;
        expect(differing).toBeLessThan(0.02);
      }
    },
  );

  it('costs a little more of few bits, where survivors stay apart for longer', { tags: 'slow' }, async () => {
    const matrix = await example(600, 40, 'both', 0.05);
    const found = objective(matrix, CHOICES, await quantize(matrix));
    const slow = objective(matrix, CHOICES, quantizeSlowly(matrix, CHOICES));
    expect(slow.bits / 24_000).toBeLessThan(0.1);
    expect(Math.abs(found.cost / slow.cost - 1)).toBeLessThan(0.03);
  });

  it("is the slow way's own, whatever the rows, when they do not interact", async () => {
    const matrix = await example(300, 70, 'columns');
    const [found, slow] = [await quantize(matrix), quantizeSlowly(matrix, CHOICES)];
    expect(found.filter((k, i) => k !== slow[i]).length / found.length).toBeLessThan(0.001);
  });

  it('loses less, the more sides errors are fed to', async () => {
    const losses: number[] = [];
    for (const sides of ['neither', 'columns', 'both'] as const) {
      const matrix = await example(300, 140, sides);
      losses.push(loss(matrix, decodeSlowly(matrix, CHOICES, await quantize(matrix))));
    }
    expect(losses[1]).toBeLessThan(0.8 * losses[0]!);
    expect(losses[2]).toBeLessThan(0.8 * losses[1]!);
  });

  it('is the same again, whatever the kernel did before', async () => {
    const [small, large] = [await example(255, 3, 'both'), await example(257, 128, 'both')];
    const first = await quantize(large);
    await quantize(small);
    expect(await quantize(large)).toEqual(first);
    expect(await quantize(large, CHOICES, new QuantizerKernel())).toEqual(first);
  });

  it('is the sum of its blocks when rows do not interact', async () => {
    const matrix = await example(600, 30, 'columns');
    const whole = await quantize(matrix);
    const part = await quantize(rowsOf(matrix, ROWS_PER_BLOCK, 2 * ROWS_PER_BLOCK));
    expect(part).toEqual(whole.slice(ROWS_PER_BLOCK * 30, 2 * ROWS_PER_BLOCK * 30));
  });

  it('keeps indices within bounds, and feeds on what that leaves', async () => {
    const matrix = await example(40, 40, 'both', 1000);
    matrix.weights[0] = 1e6 * matrix.rowSteps[0]! * matrix.columnSteps[0]!;
    const indices = await quantize(matrix);
    expect(indices[0]).toBe(MAX_INDEX);
    expect(Math.max(...indices.map(Math.abs))).toBe(MAX_INDEX);
    const slow = objective(matrix, CHOICES, quantizeSlowly(matrix, CHOICES));
    expect(Math.abs(objective(matrix, CHOICES, indices).cost / slow.cost - 1)).toBeLessThan(0.005);
  });
});

describe('a panel', () => {
  const ROWS = 77;
  const COLUMNS = PANEL_COLUMNS - 1;

  async function panelOf(sides: Sides, spoil: (weights: Float32Array) => void = () => {}) {
    const matrix = await example(ROWS, COLUMNS, sides);
    const transposed = (values: Float32Array) =>
      values.map((_, i) => values[(i % ROWS) * COLUMNS + Math.floor(i / ROWS)]!);
    spoil(matrix.weights);
    setChoices(kernel, SHRUNK.prices, SHRUNK.shrinks, SHRUNK.lambda);
    kernel.setRowFactor(matrix.rows, matrix.rowFactor);
    kernel.setRows(matrix.rowSteps, matrix.rowContexts);
    const factor = matrix.columnFactor ?? new Float32Array(COLUMNS * COLUMNS);
    kernel.setColumnFactor(matrix.columns, factor);
    kernel.setColumns(matrix.columnSteps, matrix.columnContexts);
    const normal = gaussian(5);
    const fed = Float32Array.from({ length: ROWS * COLUMNS }, () => 0.01 * normal());
    const pushed = Float32Array.from(fed, () => 0.01 * normal());
    const panel = kernel.quantize(ROWS, COLUMNS, transposed(matrix.weights), fed, pushed);
    const indices = new Int16Array(ROWS * COLUMNS);
    for (let i = 0; i < indices.length; i++)
      indices[i] = panel.indices[(i % COLUMNS) * ROWS_PER_BLOCK + Math.floor(i / COLUMNS)]!;
    const at = (row: number, column: number) => column * ROWS_PER_BLOCK + row;
    return { matrix, panel, factor, fed, at, decoded: decodeSlowly(matrix, SHRUNK, indices) };
  }

  it.each(['both', 'columns'] as const)(
    'tells the errors of what its indices mean: fed to %s',
    async (sides) => {
      const { matrix, panel, factor, fed, at, decoded } = await panelOf(sides);
      for (let row = 0; row < ROWS; row++)
        for (let column = 0; column < COLUMNS; column++) {
          const error = panel.errors[at(row, column)]!;
          const { weights } = matrix;
          expect(error).toBe(
            Math.fround(decoded[row * COLUMNS + column]! - weights[row * COLUMNS + column]!),
          );
          let term = error + fed[column * ROWS + row]!;
          for (let j = 0; j < column; j++) term += panel.errors[at(row, j)]! * factor[j * COLUMNS + column]!;
          expect(panel.terms[at(row, column)]).toBeCloseTo(term, 5);
        }
    },
  );

  it.each([1e12, 1e18, 1e30, 3e38])('has indices that decode alike beside a weight of %f', async (huge) => {
    const { matrix, panel, at, decoded } = await panelOf('rows', (weights) => {
      for (let row = 0; row < ROWS; row += 9)
        for (let column = 0; column < 30; column++) weights[row * COLUMNS + column] = huge;
    });
    for (let i = 0; i < decoded.length; i++) {
      const error = panel.errors[at(Math.floor(i / COLUMNS), i % COLUMNS)]!;
      expect(error).toBe(Math.fround(decoded[i]! - matrix.weights[i]!));
    }
  });
});

describe('factors', () => {
  const SIZES = [1, 2, 127, 128, 129, 300];
  const multiply = async (n: number) => {
    const matrix = moment(n, n);
    const { upper, diagonal } = await factorize(products, matrix.slice(), n, 0.05, 'H');
    expect(worstDifference(matrix, n, 0.05, upper, diagonal)).toBeLessThan(3e-6);
  };
  it.each(SIZES)('multiply to the damped matrix: %i', multiply);
  it('multiply to the damped matrix: 650', { tags: 'slow' }, () => multiply(650));

  it('exist of matrices without full rank, with features never seen, and of nothing at all', async () => {
    const n = 200;
    const poor = moment(n, 1, 5);
    const dead = moment(n, 2);
    for (let i = 0; i < n; i++) for (const k of [0, 130, 199]) dead[i * n + k] = dead[k * n + i] = 0;
    for (const matrix of [poor, dead, new Float32Array(n * n)]) {
      const { upper, diagonal } = await factorize(products, matrix.slice(), n, 0.05, 'H');
      expect(diagonal.every((value) => value > 0 && Number.isFinite(value))).toBe(true);
      expect(worstDifference(matrix, n, 0.05, upper, diagonal)).toBeLessThan(3e-6);
    }
  });

  it.each([0, 5, 150, 199])(
    'do not exist with a negative, infinite or missing entry at %i: refused by name',
    async (place) => {
      for (const entry of [-1e6, Infinity, NaN]) {
        const matrix = moment(200, 3);
        matrix[place * 201] = entry;
        await expect(factorize(products, matrix, 200, 0.05, 'h.0.attn.weight')).rejects.toMatchObject({
          name: 'InputError',
          message: expect.stringMatching(/h\.0\.attn\.weight.*not positive definite, even after damping/),
        });
      }
    },
  );

  /** The largest difference of M diag(d^2) M^T and the damped matrix, in means of its diagonal. */
  function worstDifference(
    matrix: Float32Array,
    n: number,
    damping: number,
    upper: Float32Array,
    diagonal: Float32Array,
  ) {
    let mean = 0;
    for (let i = 0; i < n; i++) mean += matrix[i * n + i]! / n;
    const entry = (i: number, k: number) => (i === k ? 1 : i < k ? upper[i * n + k]! : 0);
    const scaled = Float64Array.from(
      { length: n * n },
      (_, at) => entry(Math.floor(at / n), at % n) * diagonal[at % n]!,
    );
    const product = times(
      scaled,
      scaled.map((_, at) => scaled[(at % n) * n + Math.floor(at / n)]!),
      n,
      n,
      n,
    );
    return product.reduce((worst, value, at) => {
      const damped = matrix[at]! + (at % (n + 1) === 0 ? damping * Math.max(mean, 1e-24) : 0);
      return Math.max(worst, Math.abs(value - damped) / Math.max(mean, 1e-24));
    }, 0);
  }
});

describe('steps', () => {
  const scales = (n: number, seed: number, spread = 1) =>
    Float32Array.from({ length: n }, gaussian(seed)).map((x) => Math.exp(spread * x));

  it('are in proportion to what errors cost, to an eighth of an octave on either side', () => {
    const [rows, columns] = [scales(50, 1), scales(30, 2)];
    const weights = Float32Array.from({ length: 1500 }, gaussian(3)).map((weight) => weight / 1000);
    const codes = stepCodes(weights, rows, columns, 0.01);
    const [rowSteps, columnSteps] = [
      stepSizes(codes.rows.steps as Int16Array, 1),
      stepSizes(codes.columns.steps as Int16Array, codes.scale),
    ];
    for (const [i, row] of rows.entries())
      for (const [j, column] of columns.entries())
        expect(Math.abs(Math.log2((rowSteps[i]! * columnSteps[j]! * row * column) / 0.01))).toBeLessThan(
          0.2501,
        );
  });

  it('have contexts that tell the spread of weights in steps', async () => {
    const [rows, columns] = [scales(200, 4, 0.4), scales(200, 5, 0.4)];
    const normal = gaussian(6);
    const spread = (i: number) => rows[Math.floor(i / 200)]! * columns[i % 200]!;
    const weights = Float32Array.from({ length: 40000 }, (_, i) => spread(i) * normal());
    const codes = stepCodes(weights, scales(200, 7), scales(200, 8), 0.1);
    const matrix = {
      rows: 200,
      columns: 200,
      weights,
      rowSteps: stepSizes(codes.rows.steps as Int16Array, 1),
      columnSteps: stepSizes(codes.columns.steps as Int16Array, codes.scale),
      rowContexts: codes.rows.contexts,
      columnContexts: codes.columns.contexts,
    };
    for (let i = 0; i < 40000; i += 77) {
      const [row, column] = [Math.floor(i / 200), i % 200];
      const expected = 24 + 4 * Math.log2(spread(i) / (matrix.rowSteps[row]! * matrix.columnSteps[column]!));
      expect(Math.abs(contextOf(matrix, row, column) - Math.min(63, Math.max(0, expected)))).toBeLessThan(
        2.5,
      );
    }
  });

  it('are finite of rows and columns of zeros, and of nothing but zeros', () => {
    const weights = Float32Array.from({ length: 600 }, gaussian(1));
    for (let i = 0; i < 600; i++) if (i < 30 || i % 30 === 7) weights[i] = 0;
    for (const matrix of [weights, new Float32Array(600), weights.map((weight) => weight * 1e-30)]) {
      const least = new Float32Array(20).fill(1e-12);
      const codes = stepCodes(matrix, least, scales(30, 2), 0.01);
      expect(codes.scale).toBeGreaterThan(0);
      for (const { steps, contexts } of [codes.rows, codes.columns]) {
        expect(Math.max(...steps.map(Math.abs))).toBeLessThanOrEqual(256);
        expect(Math.max(...contexts.map(Math.abs))).toBeLessThanOrEqual(1024);
      }
    }
  });
});
