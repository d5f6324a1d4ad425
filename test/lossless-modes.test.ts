import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Block, blocksOf, decodeBlock, encodeBlock } from '../src/codecs/lossless/block.js';
import { decodeContexts, encodeContexts, GRADED, type Walk } from '../src/codecs/lossless/contexts.js';
import { BYTES, ggmlRecords, NIBBLES, type Records } from '../src/codecs/lossless/records.js';
import { DTYPE_BYTES, type Dtype } from '../src/core/dtype.js';
import { GGML_GRIDS } from '../src/grids/ggml.js';
import { roundToGrids } from '../src/grids/round.js';
import { damage } from './helpers/damage.js';
import { flat, kernels, same } from './helpers/lossless.js';
import { oracleDecode, oracleElements } from './helpers/oracle.js';
import { withDigest } from './helpers/oracle-encoder.js';
import { seededRandom } from './helpers/safetensors.js';
import { xxh64 } from './helpers/xxh64.js';

/** Bytes of nibbles or bytes with a bell curve whose middle and width change. */
function bells(random: () => number, length: number, bits: number): Uint8Array {
  const size = 2 ** bits;
  const draw = (middle: number, width: number) => {
    const sum = random() + random() + random() + random() - 2;
    return Math.max(0, Math.min(size - 1, Math.round(middle + width * sum)));
  };
  let [middle, width] = [size / 2, size / 4];
  return Uint8Array.from({ length }, (_, i) => {
    if (i % 16 === 0) [middle, width] = [size * (0.35 + 0.3 * random()), size * (0.15 + 0.2 * random())];
    const one = () => draw(middle, width);
    return bits === 4 ? one() | (one() << 4) : one();
  });
}

/** Bytes of which a few neighbors are alike, so that what came before says much, and classes differ. */
function narrow(random: () => number, length: number): Uint8Array {
  let value = 0;
  return Uint8Array.from({ length }, (_, i) => {
    if (i % 8 === 0) value = Math.floor(random() * 4) * 0x44;
    return random() < 0.95 ? value : value ^ 0x11;
  });
}

/** Codes elements with records and a walk that the encoder might not have chosen, even where that makes them longer. @returns whether there are classes. */
function expectContexts(elements: Uint8Array, records: Records, walk: Walk, block: Block): boolean {
  kernels.buffers.elements.set(elements);
  const coded = withDigest(elements, 6, encodeContexts(kernels, records, walk, block));
  expect(same(oracleDecode(coded, place(block)), elements)).toBe(true);
  const body = kernels.buffers.payload.subarray(0, coded.length - 9);
  body.set(coded.subarray(9));
  decodeContexts(kernels, body, block);
  expect(same(kernels.buffers.elements.subarray(0, elements.length), elements)).toBe(true);
  return kernels.buffers.classes.some((own) => own > 0);
}

const place = (block: Block) => ({
  ...block,
  width: DTYPE_BYTES[block.dtype],
  shape: [block.rows, block.columns],
});

function expectAlike(payload: Uint8Array, elements: Uint8Array, block: Block): void {
  expect(same(decodeBlock(kernels, payload, block), elements)).toBe(true);
  expect(same(oracleDecode(payload, place(block)), elements)).toBe(true);
}

const plain = { kind: 0, top: 15, group: 32, run: 1, lanes: 1, levels: 0 };
const RECORD_BYTES = [17, 18, 20, 22, 24, 34, 50, 56, 82, 84, 98, 110, 136, 144, 176, 210];
const modes = (dtype: Dtype, columns: number, elements: Uint8Array, first = 0) => {
  const count = elements.length / DTYPE_BYTES[dtype];
  const block = { dtype, first, rows: Math.ceil(count / columns), columns, count };
  const payload = encodeBlock(kernels, elements, block);
  expectAlike(payload, elements, block);
  return payload;
};

describe('contexts', () => {
  it('follow the specification for every walk', () => {
    const random = seededRandom(40);
    let classes = 0;
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 }),
        fc.constantFrom([32, 1, 1], [7, 1, 1], [16, 8, 12], [128, 1, 40], [256, 4, 3], [1, 1, 5]),
        fc.integer({ min: 0, max: 255 }),
        fc.nat(100_000),
        fc.constantFrom(NIBBLES, BYTES),
        (kind, [group, run, lanes], top, first, records) => {
          const elements = narrow(random, 2000);
          const block = { ...flat('U8', elements.length), first };
          const walk = { kind, top, group: group!, run: run!, lanes: lanes!, levels: 0 };
          if (expectContexts(elements, records, walk, block)) classes++;
        },
      ),
      { seed: 41, numRuns: 80 },
    );
    expect(classes).toBeGreaterThan(30);
  });

  it.each(RECORD_BYTES)(
    'follow the specification for records of %d bytes, wherever the block begins',
    (bytes) => {
      const random = seededRandom(bytes);
      for (const records of ggmlRecords(bytes))
        for (const levels of new Set([0, records.levels ?? 0]))
          for (const first of [0, 5, 3 * bytes - 1]) {
            // all bit patterns, also of scales that are no numbers
            const elements = Uint8Array.from({ length: 9 * bytes + 11 }, () => random() * 256);
            const block = { dtype: 'U8' as const, first, rows: 9, columns: bytes, count: elements.length };
            const walk = { ...plain, group: records.group, levels };
            expectContexts(elements, records, walk, block);
          }
    },
  );

  it.each(Object.keys(GGML_GRIDS))('follow the specification for %s, whose scales say something', (type) => {
    const { bytes, columns } = ggml(type, 160);
    const [records] = ggmlRecords(columns);
    const first = columns * 3 + 7;
    const elements = bytes.subarray(first);
    const block = { dtype: 'U8' as const, first, rows: 9, columns, count: elements.length };
    const walk = { ...plain, group: records!.group, levels: records!.levels ?? 0 };
    const classes = expectContexts(elements, records!, walk, block);
    if (records!.levels) expect(classes).toBe(true);
  });

  it('are grades of rows and columns, from any place in a row', () => {
    const random = seededRandom(42);
    for (const [records, columns] of [
      [NIBBLES, 2 * 40],
      [BYTES, 40],
    ] as const)
      for (const first of [0, 13, 80]) {
        const elements = bells(random, 500, records === NIBBLES ? 4 : 8);
        const block = { dtype: 'I8' as const, first, rows: 20, columns: 40, count: 500 };
        const start = (first * records.symbols) % columns;
        const grades = {
          rows: Uint8Array.from(
            { length: Math.ceil((start + 500 * records.symbols) / columns) },
            () => random() * 33,
          ),
          columns: Uint8Array.from({ length: columns }, () => random() * 8),
        };
        const walk = { ...plain, group: columns, levels: GRADED, grades };
        expectContexts(elements, records, walk, block);
      }
  });

  it('have several streams in a class of more than 2^20 symbols', { tags: 'slow' }, () => {
    const elements = bells(seededRandom(43), 2 ** 20, 4);
    const alike = { ...plain, group: 1 };
    expectContexts(elements, NIBBLES, alike, flat('U8', elements.length));
  });

  it('are chosen for nibbles, words of nibbles, bytes and blocks of ggml', () => {
    const random = seededRandom(44);
    expect(modes('U8', 16, bells(random, 60_000, 4))[8]).toBe(6);
    expect(modes('I32', 64, bells(random, 60_000, 4))[8]).toBe(6);
    const rows = Uint8Array.from({ length: 40_000 }, (_, i) => {
      const width = i % 4000 < 2000 ? 3 : 100;
      return 128 + Math.round((random() + random() + random() - 1.5) * width);
    });
    expect(modes('I8', 2000, rows)[8]).toBe(6);
    for (const type of ['Q4_0', 'Q5_0', 'Q4_1', 'Q2_K', 'Q3_K', 'Q4_K', 'Q6_K', 'IQ4_XS']) {
      const { bytes, columns } = ggml(type, 64);
      expect(modes('U8', columns, bytes)[8], type).toBe(6);
    }
  });
});

/** A matrix of weights in a type of ggml, and the bytes of a block. */
function ggml(type: string, rows: number) {
  const { format, pack } = GGML_GRIDS[type]!;
  const random = seededRandom(49);
  const weights = Float32Array.from({ length: rows * 256 }, () => random() + random() + random() - 1.5);
  const bytes = pack(roundToGrids(type, weights, rows, 256, format));
  return { bytes, columns: bytes.length / ((rows * 256) / format.block) };
}

const integers = (count: number, width: number, value: (i: number) => bigint) => {
  const words = BigUint64Array.from({ length: count }, (_, i) => BigInt.asUintN(64, value(i)));
  return new Uint8Array(words.buffer).filter((_, i) => i % 8 < width);
};

describe('stairs', () => {
  it('of any step, repeat and period, from any place, take a few bytes', () => {
    const below = (limit: number) => fc.integer({ min: 1, max: limit });
    fc.assert(
      fc.property(
        fc.constantFrom<Dtype>('U8', 'I16', 'I32', 'F32', 'I64'),
        fc.bigInt(0n, 2n ** 64n - 1n),
        fc.bigInt(1n, 200n),
        below(40),
        fc.oneof(fc.constant(0), below(40)),
        fc.nat(10_000),
        (dtype, start, step, repeat, period, first) => {
          const width = DTYPE_BYTES[dtype];
          const value = (i: number) => {
            const stair = Math.floor((first + i) / repeat);
            return start + step * BigInt(period ? stair % period : stair);
          };
          const elements = integers(3500, width, value);
          const payload = modes(dtype, 50, elements, first);
          expect(payload.length).toBeLessThan(9 + 2 * width + 9);
        },
      ),
      { seed: 45, numRuns: 150 },
    );
  });
});

describe('differences', () => {
  it.each<Dtype>(['I16', 'U32', 'I64'])('of sorted %s are shorter, and wrap around', (dtype) => {
    const random = seededRandom(46);
    let next = 0n;
    const elements = integers(5000, DTYPE_BYTES[dtype], () => {
      next += BigInt(Math.floor(random() * 9)) - 1n;
      return 7n * 2n ** 62n + next * 3n;
    });
    expect(modes(dtype, 5000, elements)[8]).toBe(8);
  });
});

describe('patches', () => {
  it.each<[Dtype, number, number]>([
    ['F32', 16, 0.36],
    ['F64', 48, 0.18],
    ['BF16', 4, 0.45],
  ])(
    '%s whose last %d bits are zero but for a few elements costs what it would cost without',
    (dtype, zeros, share) => {
      const random = seededRandom(47);
      const width = DTYPE_BYTES[dtype];
      const floats = Float64Array.from({ length: 60_000 }, () => (random() + random() + random() - 1.5) / 8);
      const bytes =
        width === 8
          ? new Uint8Array(floats.buffer)
          : new Uint8Array(Float32Array.from(floats).buffer).filter((_, i) => i % 4 >= 4 - width);
      const whole = bytes.slice();
      for (let i = 0; i < bytes.length; i += width)
        for (let b = 0; 8 * b < zeros; b++) bytes[i + b]! &= 0xff << Math.min(8, zeros - 8 * b);
      for (const at of [0, 777, 33_333, 59_999])
        bytes.set(
          whole.subarray(at * width, (at + 1) * width).map((byte) => byte | 1),
          at * width,
        );
      const payload = modes(dtype, 60_000, bytes);
      expect(payload[8]).toBe(9);
      expect(payload.length / bytes.length).toBeLessThan(share);
    },
  );
});

/** f32 whose rows and columns differ in scale by octaves; some are zero, or no numbers. */
function scaled(random: () => number, rows: number, columns: number): Float32Array {
  const scales = (count: number) => Float64Array.from({ length: count }, () => 2 ** (8 * random() - 14));
  const [byRow, byColumn] = [scales(rows), scales(columns)];
  return Float32Array.from({ length: rows * columns }, (_, i) => {
    if (i % 97 === 0) return [0, -0, Number.NaN, Number.NEGATIVE_INFINITY, 1e-42][i % 5]!;
    return (random() + random() - 1) * byRow[Math.floor(i / columns)]! * byColumn[i % columns]!;
  });
}

describe('shifted floats', () => {
  it.each<[Dtype, number]>([
    ['F32', 0.93],
    ['BF16', 0.86],
  ])('of %s take what rows and columns have in common once, from any place in a row', (dtype, share) => {
    const random = seededRandom(50);
    const width = DTYPE_BYTES[dtype];
    const bytes = new Uint8Array(scaled(random, 90, 130).buffer).filter((_, i) => i % 4 >= 4 - width);
    for (const first of [0, 1, 129, 1000]) {
      const elements = bytes.subarray(first * width);
      const payload = modes(dtype, 130, elements, first);
      expect(payload[8]).toBe(10);
      expect(payload.length / elements.length).toBeLessThan(share);
    }
  });

  it('are not tried where rows and columns are alike', () => {
    const random = seededRandom(51);
    const weights = Float32Array.from({ length: 90 * 130 }, () => random() + random() - 1);
    expect(modes('F32', 130, new Uint8Array(weights.buffer))[8]).toBe(4);
  });
});

describe('a damaged payload of modes 5 to 10', () => {
  const random = seededRandom(48);
  const wide = (own: Block, elements: Uint8Array) => ({
    block: own,
    elements,
    payload: encodeBlock(kernels, elements, own),
  });
  const of = (dtype: Dtype, columns: number, elements: Uint8Array) =>
    wide([...blocksOf(dtype, [elements.length / DTYPE_BYTES[dtype] / columns, columns])][0]!, elements);
  const quantized = ggml('Q4_K', 64);
  const coded = [
    of('U8', 16, bells(random, 60_000, 4)),
    of(
      'I8',
      512,
      Uint8Array.from({ length: 8192 }, (_, i) => (i % 1024 < 512 ? 1 : 99) * (random() + random())),
    ),
    of('U8', quantized.columns, quantized.bytes),
    of(
      'I32',
      100,
      integers(1000, 4, (i) => BigInt(Math.floor(i / 7))),
    ),
    of(
      'I64',
      1000,
      integers(1000, 8, (i) => BigInt(i * 5 + Math.floor(random() * 4))),
    ),
    of('F32', 100, new Uint8Array(scaled(random, 40, 100).buffer)),
    of(
      'F32',
      4096,
      integers(4096, 4, (i) => BigInt(i === 9 ? 12345 : Math.floor(random() * 4096) << 16)),
    ),
  ];

  it('has the modes that are to be damaged', () => {
    expect(coded.map(({ payload }) => payload[8])).toEqual([6, 6, 6, 7, 8, 10, 9]);
  });

  it('is refused, or decodes as the specification says', { tags: 'slow' }, () => {
    let valid = 0;
    for (let i = 0; i < 2000; i++) {
      const { payload, block } = coded[i % coded.length]!;
      const damaged = damage(random, payload, coded[(i * 7) % coded.length]!.payload);
      if (damaged.length < 9) continue;
      const decode = () => decodeBlock(kernels, damaged, block).slice();
      if (i % 3) {
        expect(refused(decode)).toBe(true);
        continue;
      }
      // with the digest of what it decodes to
      const expected = attempt(() => oracleElements(damaged, place(block)));
      if (expected && damaged.length <= expected.length + 9) {
        new DataView(damaged.buffer).setBigUint64(0, xxh64(expected), true);
        expect(same(decode(), expected)).toBe(true);
        valid++;
      } else expect(refused(decode)).toBe(true);
    }
    expect(valid).toBeGreaterThan(20);
  });

  function attempt(decode: () => Uint8Array): Uint8Array | undefined {
    try {
      return decode();
    } catch (error) {
      expect(error).toBeInstanceOf(RangeError);
      return undefined;
    }
  }
  /** True if it throws a RangeError, or decodes to what some payload here was made of: damage need not matter. */
  function refused(decode: () => Uint8Array): boolean {
    const found = attempt(decode);
    return !found || coded.some(({ elements }) => same(elements, found));
  }
});
