import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ArithmeticDecoder, ArithmeticEncoder, Bit, IntegerModel } from '../src/codecs/trellis/arithmetic.js';
import { decodeBlock, encodeBlock, openBlock, stepsOf } from '../src/codecs/trellis/block.js';
import { factorCodes, factorsOf } from '../src/codecs/trellis/codes.js';
import { CONTEXTS, level, MAX_INDEX, stepSizes } from '../src/codecs/trellis/levels.js';
import { readParameters, type TensorParameters, writeParameters } from '../src/codecs/trellis/parameters.js';
import { initialPrices, tablePrices } from '../src/codecs/trellis/prices.js';
import { readTables, storableShrinks, writeTables } from '../src/codecs/trellis/tables.js';
import { INDICES, SCALE, TABLES, TOKENS } from '../src/codecs/trellis/tokens.js';
import {
  type BlockContexts,
  type CodedIndices,
  IndexCoder,
  type IndexTables,
  KINDS,
} from '../src/wasm/indices.js';
import { damage } from './helpers/damage.js';
import { oracleDecode, oracleEncode, oracleRound, oracleValues, tablesOf } from './helpers/indices.js';
import { seededRandom } from './helpers/safetensors.js';

const coder = new IndexCoder();
const NO_SHRINKS = new Float32Array(TABLES * 4);

interface Source extends BlockContexts {
  readonly indices: Int16Array;
}

const integers = (count: number, make: () => number) => Int16Array.from({ length: count }, make);
const clamp = (value: number, limit: number) => Math.max(-limit, Math.min(limit, value));

/** Indices as likely as their contexts say, between Gauss and Laplace; contexts around `context`, spread over `spread`. */
function draw(seed: number, rows: number, columns: number, context: number, spread: number): Source {
  const random = seededRandom(seed);
  const rowContexts = integers(rows, () => Math.round(context + (random() - 0.5) * spread));
  const columnContexts = integers(columns, () => Math.round((random() - 0.5) * spread));
  const indices = integers(rows * columns, () => 0);
  for (let place = 0; place < indices.length; place++) {
    const sum = rowContexts[Math.floor(place / columns)]! + columnContexts[place % columns]!;
    const expected = 2 ** ((Math.max(0, Math.min(63, sum)) - 24) / 4);
    const normal = Math.sqrt(-2 * Math.log(random() || 1)) * Math.cos(2 * Math.PI * random());
    indices[place] = clamp(Math.round((expected * normal * (0.5 + random())) / 2), MAX_INDEX);
  }
  return { rowContexts, columnContexts, indices };
}

function count(sources: readonly Source[]): Float64Array {
  const counts = new Float64Array(TABLES * INDICES);
  for (const source of sources)
    tablesOf(source, source.indices).forEach((table, place) => {
      counts[table * INDICES + source.indices[place]! + MAX_INDEX]!++;
    });
  return counts;
}

const tablesFor = (sources: readonly Source[], shrinks: Float32Array = NO_SHRINKS) =>
  readTables(writeTables(count(sources), shrinks));

function decodeIndices(
  tables: IndexTables,
  contexts: BlockContexts,
  coded: CodedIndices,
): Int16Array | undefined {
  const rows = contexts.rowContexts.length;
  const columns = contexts.columnContexts.length;
  const out = new Uint8Array(rows * columns * 2);
  const steps = { rowSteps: new Float32Array(rows), columnSteps: new Float32Array(columns) };
  return coder.decode(tables, contexts, steps, coded, 'I16', out) ? new Int16Array(out.buffer) : undefined;
}

const SHAPES = [
  [1, 1],
  [1, 2],
  [1, 1000],
  [256, 1],
  [255, 3],
  [7, 17],
  [256, 15],
  [254, 16],
  [3, 5000],
] as const;

describe('indices', () => {
  it.each(SHAPES)(
    'of %i rows and %i columns are coded to the byte as the oracle codes them',
    (rows, columns) => {
      for (const [context, spread] of [
        [10, 20],
        [24, 8],
        [32, 40],
        [60, 30],
      ] as const) {
        const source = draw(rows * 7 + context, rows, columns, context, spread);
        const tables = tablesFor([source]);
        const coded = coder.encode(tables, source, source.indices);
        expect(coded).toEqual(oracleEncode(tables, source, source.indices));
        expect(decodeIndices(tables, source, coded)).toEqual(source.indices);
        expect(oracleDecode(tables, source, coded)).toEqual(source.indices);
      }
    },
  );

  it('in every context, up to 1000 in magnitude, survive with tables made for others', () => {
    const everywhere = { rowContexts: integers(64, () => 0), columnContexts: integers(2001, () => 0) };
    const indices = integers(64 * 2001, () => 0);
    for (let i = 0; i < 64; i++) {
      everywhere.rowContexts[i] = i;
      for (let j = 0; j < 2001; j++) indices[i * 2001 + j] = ((j * 37) % 2001) - 1000;
    }
    const counts = new Float64Array(TABLES * INDICES);
    // only small ones are known: all others must escape
    for (let table = 0; table < TABLES; table++)
      for (let k = -20; k <= 20; k++) counts[table * INDICES + k + MAX_INDEX] = 1e5 * 2 ** -Math.abs(k) + 1;
    for (let table = 0; table < TABLES; table++) counts[table * INDICES] = 1;
    const tables = readTables(writeTables(counts, NO_SHRINKS));
    const coded = coder.encode(tables, everywhere, indices);
    expect(decodeIndices(tables, everywhere, coded)).toEqual(indices);
    expect(coded.raw.length).toBeGreaterThan(indices.length);
  });

  it('of more rows and columns than one call takes, coded as the oracle codes them', { tags: 'slow' }, () => {
    const source = draw(5, 70, 20_000, 60, 8);
    const tables = tablesFor([source]);
    const coded = coder.encode(tables, source, source.indices);
    expect(decodeIndices(tables, source, coded)).toEqual(source.indices);
    // more than the kernel's windows of both hold at once
    for (const piece of [coded.stream, coded.raw]) expect(piece.length).toBeGreaterThan(2 ** 19 + 16);
    const expected = oracleEncode(tables, source, source.indices);
    expect(Buffer.compare(coded.stream, expected.stream)).toBe(0);
    expect(Buffer.compare(coded.raw, expected.raw)).toBe(0);
  });

  it('that leave a state exactly at the bound of renormalization are coded as the oracle codes them', () => {
    // found by search: before the first weight is encoded, the last of them, the state is 2^20 times its frequency less 1
    const indices = Int16Array.of(8, 15, 15, 3, 11, 9, 9, 9);
    const own = Array.from({ length: 15 }, (_, token) => 2 * token + 1);
    const frequencies = new Uint16Array(TABLES * TOKENS);
    for (const table of [48, 49]) frequencies.set([...own, SCALE - 15 * 15], table * TOKENS + TOKENS / 2);
    const tables = { frequencies, shrinks: NO_SHRINKS };
    const contexts = { rowContexts: integers(8, () => 24), columnContexts: Int16Array.of(0) };
    const coded = coder.encode(tables, contexts, indices);
    expect(coded).toEqual(oracleEncode(tables, contexts, indices));
    expect(decodeIndices(tables, contexts, coded)).toEqual(indices);
  });

  it('of rows too wide for one call survive', () => {
    const source = draw(6, 3, 300_001, 26, 12);
    const tables = tablesFor([source]);
    const decoded = decodeIndices(tables, source, coder.encode(tables, source, source.indices));
    expect(
      decoded && Buffer.compare(new Uint8Array(decoded.buffer), new Uint8Array(source.indices.buffer)),
    ).toBe(0);
  });

  it('cost what their entropy is, within half a percent', () => {
    for (const [context, spread] of [
      [18, 12],
      [24, 12],
      [30, 12],
      [40, 8],
    ] as const) {
      const source = draw(context, 256, 1024, context, spread);
      const counts = count([source]);
      const tables = readTables(writeTables(counts, NO_SHRINKS));
      const { stream, raw } = coder.encode(tables, source, source.indices);
      expect((stream.length + raw.length) / (entropyBits(counts) / 8)).toBeLessThan(1.005);
    }
  });

  it('that are all zero cost almost nothing', () => {
    const zeros = { ...draw(9, 256, 256, 4, 4), indices: new Int16Array(65536) };
    const { stream, raw } = coder.encode(tablesFor([zeros]), zeros, zeros.indices);
    expect(stream.length + raw.length).toBeLessThan(32);
  });

  it('beyond what a token can hold, or without a table, are refused', () => {
    const source = draw(10, 4, 4, 24, 4);
    const tables = tablesFor([source]);
    for (const bad of [1024, -1024, -32768, 32767])
      expect(() => coder.encode(tables, source, source.indices.with(5, bad))).toThrow(RangeError);
    const elsewhere = { ...source, rowContexts: source.rowContexts.map((context) => context + 30) };
    expect(() => coder.encode(tables, elsewhere, source.indices)).toThrow(/no table/);
    expect(() => coder.encode(tables, source, source.indices.subarray(1))).toThrow(RangeError);
  });
});

/** Bits of all counted indices, each table by itself. */
function entropyBits(counts: Float64Array): number {
  let bits = 0;
  for (let table = 0; table < TABLES; table++) {
    const own = counts.subarray(table * INDICES, (table + 1) * INDICES);
    const total = own.reduce((sum, n) => sum + n, 0);
    for (const n of own) if (n) bits += n * Math.log2(total / n);
  }
  return bits;
}

describe('values', () => {
  const random = seededRandom(30);
  const shrinks = storableShrinks(NO_SHRINKS.map((_, i) => (i % 4 ? random() * 0.4 - 0.05 : 0)));
  it.each(['F32', 'F16', 'BF16'] as const)('as %s are the nearest to the formula, bit for bit', (kind) => {
    for (const scale of [1e-9, 1e-4, 0.01, 1, 1e3, 1e30])
      for (const some of [NO_SHRINKS, shrinks]) {
        const source = draw(31, 67, 61, 28, 30);
        const tables = tablesFor([source], some);
        const steps = {
          rowSteps: stepSizes(
            integers(67, () => Math.round(random() * 40 - 20)),
            1,
          ),
          columnSteps: stepSizes(
            integers(61, () => Math.round(random() * 40 - 20)),
            scale,
          ).map((step) => step * (0.9 + 0.2 * random())),
        };
        const out = new Uint8Array(source.indices.length * KINDS[kind][1]);
        const coded = coder.encode(tables, source, source.indices);
        expect(coder.decode(tables, source, steps, coded, kind, out)).toBe(true);
        const values = oracleValues(tables, source, steps, source.indices);
        if (kind === 'F32') expect(new Uint32Array(out.buffer)).toEqual(new Uint32Array(values.buffer));
        else {
          const shape = kind === 'F16' ? ([5, 10] as const) : ([8, 7] as const);
          expect(new Uint16Array(out.buffer)).toEqual(
            Uint16Array.from(values, (value) => oracleRound(value, shape[0], shape[1])),
          );
        }
      }
  });

  it('round ties to even, subnormals and overflow as IEEE 754 does, but to the largest finite number', () => {
    // one row of ones: the values are the columns' steps
    const steps = [
      1 + 2 ** -11,
      1 + 3 * 2 ** -11,
      1 + 2 ** -8,
      1 + 3 * 2 ** -8,
      2 ** -24,
      2 ** -25,
      1.5 * 2 ** -25,
      65504,
      65519.99,
      65520,
      1e30,
      3.4e38,
    ];
    const contexts = { rowContexts: integers(1, () => 24), columnContexts: integers(steps.length, () => 0) };
    const indices = integers(steps.length, () => 1);
    const tables = tablesFor([{ ...contexts, indices }]);
    const coded = coder.encode(tables, contexts, indices);
    const columnSteps = Float32Array.from(steps, (step) => step / 2);
    for (const [kind, shape] of [
      ['F16', [5, 10]],
      ['BF16', [8, 7]],
    ] as const) {
      const out = new Uint8Array(steps.length * 2);
      expect(
        coder.decode(tables, contexts, { rowSteps: Float32Array.of(1), columnSteps }, coded, kind, out),
      ).toBe(true);
      expect([...new Uint16Array(out.buffer)]).toEqual(
        [...columnSteps].map((step) => oracleRound(Math.fround(2 * step), shape[0], shape[1])),
      );
    }
    expect([
      oracleRound(1, 5, 10),
      oracleRound(-2, 8, 7),
      oracleRound(1e9, 5, 10),
      oracleRound(2 ** -24, 5, 10),
    ]).toEqual([0x3c00, 0xc000, 0x7bff, 1]);
  });
});

describe('tables', () => {
  it('are the same from their bytes, sum to the scale, and are absent where nothing was counted', () => {
    const source = draw(40, 256, 256, 26, 12);
    const counts = count([source]);
    const { frequencies } = readTables(writeTables(counts, NO_SHRINKS));
    for (let table = 0; table < TABLES; table++) {
      const counted = counts.subarray(table * INDICES, (table + 1) * INDICES).some((n) => n > 0);
      const own = frequencies.subarray(table * TOKENS, (table + 1) * TOKENS);
      expect(own.reduce((sum, frequency) => sum + frequency, 0)).toBe(counted ? SCALE : 0);
      expect(Math.max(...own)).toBeLessThan(SCALE);
    }
  });

  it('of any counts code everything counted', () => {
    const random = seededRandom(41);
    for (let round = 0; round < 30; round++) {
      const counts = new Float64Array(TABLES * INDICES);
      const indices: number[] = [];
      for (let i = 0; i < 40; i++) {
        const k = random() < 0.8 ? Math.round((random() - 0.5) * 2 ** (1 + random() * 10)) || 0 : 0;
        counts[(24 * 2 + (round % 2)) * INDICES + k + MAX_INDEX]! += Math.floor(random() ** 8 * 1e6) + 1;
        counts[24 * 2 * INDICES + k + MAX_INDEX]!++;
        indices.push(k);
      }
      const tables = readTables(writeTables(counts, NO_SHRINKS));
      const contexts = {
        rowContexts: integers(1, () => 24),
        columnContexts: integers(indices.length, () => 0),
      };
      const coded = coder.encode(tables, contexts, Int16Array.from(indices));
      expect([...(decodeIndices(tables, contexts, coded) ?? [])]).toEqual(indices);
    }
  });

  it('of no or too many magnitudes, or with frequencies out of bounds, are refused', () => {
    const first = (size: number, ...logs: number[]) => {
      const encoder = new ArithmeticEncoder();
      encoder.code(1, new Bit());
      for (const value of [size, ...logs]) new IntegerModel().code(encoder, value);
      return () => readTables(encoder.finish());
    };
    for (const size of [0, -1, 65, 30_000]) expect(first(size)).toThrow(/magnitudes, found -?\d+/);
    for (const log of [97, -1]) expect(first(1, log - 88)).toThrow(/frequency logarithm -?\d+ is not in/);
  });

  it('of a whole model take less than a kilobyte', () => {
    const sources = [14, 20, 26, 32].map((context) => draw(context, 256, 512, context, 20));
    expect(writeTables(count(sources), NO_SHRINKS).length).toBeLessThan(1024);
    expect(writeTables(new Float64Array(TABLES * INDICES), NO_SHRINKS).length).toBeLessThan(8);
  });

  it('carry shrinking coefficients in 1/128 of a step', () => {
    const source = draw(42, 256, 256, 26, 12);
    const shrinks = storableShrinks(
      NO_SHRINKS.map((_, i) => (i % 4 ? 0.3 / ((i % 4) + 0.01 * (i >> 3)) : 0)),
    );
    const counts = count([source]);
    const read = readTables(writeTables(counts, shrinks)).shrinks;
    read.forEach((shrink, i) => {
      const present = counts.subarray((i >> 2) * INDICES, ((i >> 2) + 1) * INDICES).some((n) => n > 0);
      expect(shrink).toBe(present ? shrinks[i]! : 0);
    });
    expect([...storableShrinks(Float32Array.of(1, 0.5, -7, 9))]).toEqual([0, 0.5, -1, 127 / 128]);
  });
});

describe('parameters and blocks', () => {
  const random = seededRandom(50);
  const codes = (length: number, factors: boolean) => ({
    steps: integers(length, () => Math.round(random() * 12 - 6)),
    contexts: integers(length, () => Math.round(random() * 6)),
    factors: factors ? Int8Array.from({ length }, () => random() * 80 - 40) : undefined,
  });

  it.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])('with factors of rows %s, of columns %s, come back with their values', (rowFactors, columnFactors) => {
    const source = draw(51, 256, 300, 20, 0);
    const parameters: TensorParameters = {
      scale: Math.fround(0.003),
      rowFactorRange: rowFactors ? 0.25 : 0,
      columnFactorRange: columnFactors ? 0.5 : 0,
      columns: { ...codes(300, columnFactors), contexts: source.columnContexts },
    };
    const rows = { ...codes(256, rowFactors), contexts: source.rowContexts };
    const tables = tablesFor([source]);
    const bytes = encodeBlock(coder, tables, parameters, { rows, indices: source.indices });
    const read = readParameters(writeParameters(parameters), 300);
    expect(read).toEqual(parameters);
    expect(openBlock(read, bytes, 256).rows).toEqual(rows);
    const steps = stepsOf(read, rows);
    if (rowFactors)
      expect(steps.rowSteps[3]).toBe(
        Math.fround(stepSizes(rows.steps, 1)[3]! * factorsOf(rows.factors!, 0.25)[3]!),
      );
    const values = new Float32Array(decodeBlock(coder, tables, read, bytes, 256, 'F32').buffer);
    expect(values).toEqual(oracleValues(tables, source, steps, source.indices));
    expect(new Int16Array(decodeBlock(coder, tables, read, bytes, 256, 'I16').buffer)).toEqual(
      source.indices,
    );
  });

  it('have the bytes that version 1 gives them: a change of the format is never an accident', () => {
    const source = draw(52, 200, 70, 30, 24);
    const columns = { ...codes(70, true), steps: integers(70, () => 3), contexts: source.columnContexts };
    const parameters = {
      scale: 0.5,
      rowFactorRange: 0,
      columnFactorRange: 0.125,
      columns: { ...columns, factors: new Int8Array(70).map((_, i) => i - 35) },
    };
    const rows = { steps: integers(200, () => -2), contexts: source.rowContexts };
    const tables = writeTables(
      count([source]),
      NO_SHRINKS.map((_, i) => (i % 4) / 16),
    );
    const block = encodeBlock(coder, readTables(tables), parameters, { rows, indices: source.indices });
    const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex').slice(0, 16);
    expect([tables, writeParameters(parameters), block].map(digest)).toEqual([
      'f934f6f9e9c4156f',
      'd0a6e8b5176b6a18',
      '97b6477c63507a4a',
    ]);
  });

  it('cost little more than their entropy', () => {
    const parameters = { scale: 1, rowFactorRange: 0, columnFactorRange: 0, columns: codes(4096, false) };
    expect(writeParameters(parameters).length).toBeLessThan((4096 * (3.7 + 4.3)) / 8);
    const plain = { steps: integers(4096, () => 3), contexts: integers(4096, () => -200) };
    expect(writeParameters({ ...parameters, columns: plain }).length).toBeLessThan(80);
  });

  it('out of bounds are refused', () => {
    const columns = codes(4, false);
    const good = { scale: 1, rowFactorRange: 0, columnFactorRange: 0, columns };
    for (const scale of [0, -1, Number.NaN, Infinity, 2 ** 101, 0.1])
      expect(() => writeParameters({ ...good, scale })).toThrow(/scale/);
    for (const rowFactorRange of [-0.5, 1, Number.NaN, 0.1])
      expect(() => writeParameters({ ...good, rowFactorRange })).toThrow(/range/);
    for (const bad of [
      { ...columns, steps: columns.steps.with(2, 300) },
      { ...columns, contexts: columns.contexts.with(2, -2000) },
    ])
      expect(() => writeParameters({ ...good, columns: bad })).toThrow(/code/);
    expect(() => writeParameters({ ...good, columnFactorRange: 0.125 })).toThrow(/factors/);
    const bytes = writeParameters(good);
    expect(() => readParameters(Uint8Array.of(...bytes, 1, 1, 1, 1, 1, 1, 1), 4)).toThrow(/extra bytes/);
    expect(() => readParameters(bytes.subarray(0, 11), 4)).toThrow(RangeError);
    expect(() => readParameters(bytes, 2 ** 40)).toThrow(/columns/);
    const encoder = new ArithmeticEncoder();
    new IntegerModel().code(encoder, 300); // the typical step
    const model = new IntegerModel();
    for (let i = 0; i < 4; i++) model.code(encoder, 0);
    const beyond = Uint8Array.of(...bytes.subarray(0, 12), ...encoder.finish());
    expect(() => readParameters(beyond, 4)).toThrow(/step code 300 is not in -256..256/);
  });

  it('keep factors to within half of a 128th of their range', () => {
    const factors = [0.8, 0.95, 1, 1.07, 1.199];
    factorsOf(factorCodes(factors, 0.2), 0.2).forEach((factor, i) => {
      expect(Math.abs(factor - factors[i]!)).toBeLessThanOrEqual(0.2 / 128);
    });
  });
});

describe('arithmetic coder', () => {
  it('gives back any bits and integers, whatever their probabilities', () => {
    const random = seededRandom(60);
    for (let round = 0; round < 200; round++) {
      const rarity = random() ** 3;
      const values = Array.from({ length: Math.floor(random() * 200) }, () =>
        Math.round((random() - 0.5) * 2 ** (random() * 15) * Number(random() < rarity)),
      );
      const encoder = new ArithmeticEncoder();
      const models = [new IntegerModel(), new Bit()] as const;
      for (const value of values) {
        models[0].code(encoder, value);
        encoder.code(value & 1, models[1]);
        encoder.codeEven(Number(value < 0));
      }
      const decoder = new ArithmeticDecoder(encoder.finish());
      const fresh = [new IntegerModel(), new Bit()] as const;
      const read = values.map(() => {
        const value = fresh[0].code(decoder);
        expect([decoder.code(0, fresh[1]), decoder.codeEven()]).toEqual([value & 1, Number(value < 0)]);
        return value;
      });
      expect(read).toEqual(values.map((value) => value || 0));
      decoder.finish();
    }
  });
});

describe('damaged bytes', { tags: 'slow' }, () => {
  const source = draw(70, 100, 50, 30, 40);
  const counts = count([source]);
  const tableBytes = writeTables(counts, NO_SHRINKS);
  const tables = readTables(tableBytes);
  const parameters = {
    scale: 1,
    rowFactorRange: 0,
    columnFactorRange: 0,
    columns: { steps: integers(50, () => 1), contexts: source.columnContexts },
  };
  const rows = { steps: integers(100, () => 2), contexts: source.rowContexts };
  const block = encodeBlock(coder, tables, parameters, { rows, indices: source.indices });

  /** One clear error, or a value: never another error. */
  function attempt<T>(act: () => T): T | undefined {
    try {
      return act();
    } catch (error) {
      expect(error).toBeInstanceOf(RangeError);
      expect((error as Error).message).toMatch(/^[^\n]{10,120}$/);
      return undefined;
    }
  }

  it('of a block give an error, or what the oracle makes of them', () => {
    const random = seededRandom(71);
    let refused = 0;
    for (let round = 0; round < 600; round++) {
      const bad = damage(random, block, tableBytes);
      const decoded = attempt(() => decodeBlock(coder, tables, parameters, bad, 100, 'I16'));
      const pieces = attempt(() => openBlock(parameters, bad, 100));
      const expected =
        pieces &&
        oracleDecode(
          tables,
          { rowContexts: pieces.rows.contexts, columnContexts: source.columnContexts },
          pieces,
        );
      expect(decoded && new Int16Array(decoded.buffer)).toEqual(expected);
      if (!decoded) refused++;
    }
    expect(refused).toBeGreaterThan(580);
    expect(decodeBlock(coder, tables, parameters, block, 100, 'I16')).toEqual(
      new Uint8Array(source.indices.buffer),
    );
  });

  it('truncated anywhere is refused', () => {
    for (let length = 0; length < block.length; length += 7)
      expect(() => decodeBlock(coder, tables, parameters, block.subarray(0, length), 100, 'F16')).toThrow(
        RangeError,
      );
  });

  it('of tables and parameters give an error, or tables that are whole', () => {
    const random = seededRandom(72);
    const sides = writeParameters(parameters);
    for (let round = 0; round < 600; round++) {
      const read = attempt(() => readTables(damage(random, tableBytes, block)));
      for (let table = 0; read && table < TABLES; table++) {
        const sum = read.frequencies
          .subarray(table * TOKENS, (table + 1) * TOKENS)
          .reduce((a, b) => a + b, 0);
        expect([0, SCALE]).toContain(sum);
      }
      if (read) attempt(() => decodeBlock(coder, read, parameters, block, 100, 'BF16'));
      attempt(() => readParameters(damage(random, sides, block), 50));
    }
    attempt(() => readTables(new Uint8Array(100_000).fill(255)));
    attempt(() => readTables(Uint8Array.from({ length: 100_000 }, () => random() * 256)));
  });

  it('whose raw bits are padded with anything but zeros are refused', () => {
    const contexts = { rowContexts: integers(1, () => 40), columnContexts: integers(9, () => 0) };
    const indices = integers(9, () => 17);
    const own = tablesFor([{ ...contexts, indices }]);
    const { stream, raw } = coder.encode(own, contexts, indices);
    expect(raw).toEqual(Uint8Array.of(255, 1));
    expect(decodeIndices(own, contexts, { stream, raw })).toEqual(indices);
    for (const bad of [
      Uint8Array.of(255, 3),
      Uint8Array.of(255, 129),
      Uint8Array.of(255),
      Uint8Array.of(255, 1, 0),
    ])
      expect(decodeIndices(own, contexts, { stream, raw: bad })).toBeUndefined();
  });

  it('that end well, but through a context without a table, are refused', () => {
    // the second row leads a state that the first left anywhere back to where encoders begin
    const contexts = { rowContexts: Int16Array.of(5, 24), columnContexts: Int16Array.of(0) };
    const frequencies = new Uint16Array(TABLES * TOKENS);
    frequencies[24 * 2 * TOKENS + 64] = frequencies[24 * 2 * TOKENS + 65] = SCALE / 2;
    const stream = new Uint8Array(new Uint32Array([1 << 16, 1 << 16, 1 << 16, 1 << 16, 1]).buffer);
    const crafted = { stream, raw: new Uint8Array() };
    expect(decodeIndices({ frequencies, shrinks: NO_SHRINKS }, contexts, crafted)).toBeUndefined();
    const one = { rowContexts: Int16Array.of(5), columnContexts: Int16Array.of(0) };
    const short = new Uint8Array(new Uint32Array([4096, 1 << 16, 1 << 16, 1 << 16]).buffer);
    for (const stream of [short, Uint8Array.of(...short, 0, 0)])
      expect(
        decodeIndices({ frequencies, shrinks: NO_SHRINKS }, one, { ...crafted, stream }),
      ).toBeUndefined();
  });

  it('in contexts without a table are refused', () => {
    const empty = { frequencies: new Uint16Array(TABLES * TOKENS), shrinks: NO_SHRINKS };
    expect(() => decodeBlock(coder, empty, parameters, block, 100, 'F32')).toThrow(RangeError);
    expect(() => decodeBlock(coder, tables, parameters, block, 0, 'F32')).toThrow(RangeError);
    expect(() => decodeBlock(coder, tables, parameters, block, 257, 'F32')).toThrow(RangeError);
  });
});

describe('prices and levels', () => {
  it('are probabilities in bits before anything is known', () => {
    const initial = initialPrices();
    expect(initial.length).toBe(CONTEXTS * 2 * INDICES);
    for (let table = 0; table < TABLES; table++) {
      const own = initial.subarray(table * INDICES, (table + 1) * INDICES);
      expect(own.reduce((sum, bits) => sum + 2 ** -bits, 0)).toBeCloseTo(1, 4);
    }
  });

  it('are what the tables take, once there are any', () => {
    const counts = count([draw(80, 256, 256, 24, 8)]);
    const initial = initialPrices();
    const prices = tablePrices(readTables(writeTables(counts, NO_SHRINKS)), initial);
    let [paid, ideal] = [0, 0];
    for (let table = 0; table < TABLES; table++) {
      const own = counts.subarray(table * INDICES, (table + 1) * INDICES);
      const total = own.reduce((sum, n) => sum + n, 0);
      own.forEach((n, i) => {
        paid += n * prices[table * INDICES + i]!;
        if (n) ideal += n * Math.log2(total / n);
      });
      if (!total) expect(prices[table * INDICES + 3]).toBe(initial[table * INDICES + 3]);
    }
    expect(paid / ideal).toBeGreaterThan(0.999);
    expect(paid / ideal).toBeLessThan(1.03);
    expect(prices.every((bits) => bits >= 0 && Number.isFinite(bits))).toBe(true);
  });

  it('of the two quantizers take turns', () => {
    expect([-2, -1, 0, 1, 2].map((k) => level(0, k))).toEqual([-4, -2, 0, 2, 4]);
    expect([-2, -1, 0, 1, 2].map((k) => level(1, k))).toEqual([-3, -1, 0, 1, 3]);
    expect([...stepSizes(Int16Array.of(-4, 0, 1, 8), 3)]).toEqual([1.5, 3, Math.fround(3 * 2 ** 0.25), 12]);
  });
});
