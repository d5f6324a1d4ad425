import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  blocksOf,
  decodeBlock,
  encodeBlock,
  encodeBlockInto,
  payloadLimit,
} from '../src/codecs/lossless/block.js';
import { DTYPE_BYTES, type Dtype, elementCount } from '../src/core/dtype.js';
import { BLOCK_BYTES } from '../src/wasm/lossless.js';
import { CONTENTS, DTYPES } from './helpers/contents.js';
import { damage } from './helpers/damage.js';
import { encodeTensor, flat, kernels, roundTrip, same } from './helpers/lossless.js';
import { oracleTable } from './helpers/oracle.js';
import { seededRandom } from './helpers/safetensors.js';

const runs = { seed: 20, numRuns: 1500 };
const dtypes = fc.constantFrom(...DTYPES);
const contents = fc.constantFrom(...Object.keys(CONTENTS));

/** Bytes of a tensor with one of the contents. */
const fill = (content: string, seed: number, count: number, dtype: Dtype) =>
  CONTENTS[content]!(seededRandom(seed), count, DTYPE_BYTES[dtype]);

/** u16 values as elements of a dtype of at least 2 bytes, noise in the bytes below. */
function withHeads(heads: ArrayLike<number>, dtype: Dtype, random: () => number): Uint8Array {
  const width = DTYPE_BYTES[dtype];
  const bytes = Uint8Array.from({ length: heads.length * width }, () => random() * 256);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < heads.length; i++) view.setUint16((i + 1) * width - 2, heads[i]!, true);
  return bytes;
}

function shuffled(length: number, random: () => number): Uint16Array {
  const values = Uint16Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [values[i], values[j]] = [values[j]!, values[i]!];
  }
  return values;
}

describe('decoding restores the encoded elements bit for bit', () => {
  it('for any dtype, shape and content', () => {
    const shapes = fc.array(fc.nat(24), { maxLength: 3 });
    fc.assert(
      fc.property(dtypes, shapes, contents, fc.nat(), (dtype, shape, content, seed) => {
        const bytes = fill(content, seed, elementCount(shape), dtype);
        expect(same(roundTrip(dtype, shape, bytes), bytes)).toBe(true);
      }),
      runs,
    );
  });

  it('for any bytes', () => {
    const words = fc.array(fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.constantFrom(0n, 1n, 2n ** 63n)), {
      minLength: 1,
    });
    fc.assert(
      fc.property(dtypes, words, (dtype, values) => {
        const bytes = new Uint8Array(BigUint64Array.from(values).buffer);
        expect(same(roundTrip(dtype, [bytes.length / DTYPE_BYTES[dtype]], bytes), bytes)).toBe(true);
      }),
      runs,
    );
  });

  it.each(DTYPES)('for scalars and empty tensors of %s', (dtype) => {
    for (const shape of [[0], [3, 0, 2]]) expect(encodeTensor(dtype, shape, new Uint8Array())).toEqual([]);
    for (const shape of [[], [1], [1, 1, 1], [2], [2, 2], [3, 3]])
      for (const content of Object.keys(CONTENTS)) {
        const bytes = fill(content, 21, elementCount(shape), dtype);
        expect(same(roundTrip(dtype, shape, bytes), bytes)).toBe(true);
      }
  });

  const alongBlocks = (dtype: Dtype) => {
    const most = BLOCK_BYTES / DTYPE_BYTES[dtype];
    for (const content of ['weights', 'white noise', 'rare symbols among a frequent one']) {
      const bytes = fill(content, 22, 2 * most + 1, dtype);
      for (const [count, blocks] of [
        [most - 1, 1],
        [most, 1],
        [most + 1, 2],
        [2 * most + 1, 3],
      ] as const) {
        const elements = bytes.subarray(0, count * DTYPE_BYTES[dtype]);
        expect([...blocksOf(dtype, [count])].map((block) => block.count).length).toBe(blocks);
        expect(same(roundTrip(dtype, [count], elements), elements)).toBe(true);
      }
    }
  };
  // one type per way of coding here, the others with the slow tests
  const FIRST: readonly Dtype[] = ['BF16', 'F32', 'F64', 'F8_E4M3', 'I64'];
  const name = 'for %s tensors one element shorter and longer than whole blocks';
  it.each(FIRST)(name, alongBlocks);
  it.each(DTYPES.filter((dtype) => !FIRST.includes(dtype)))(name, { tags: 'slow' }, alongBlocks);

  it.each<Dtype>(['BF16', 'F16', 'F32', 'F64'])('for all 65,536 values of the top 16 bits of %s', (dtype) => {
    const random = seededRandom(23);
    for (const heads of [Uint16Array.from({ length: 65536 }, (_, i) => i), shuffled(65536, random)]) {
      const bytes = withHeads(heads, dtype, random);
      expect(same(roundTrip(dtype, [256, 256], bytes), bytes)).toBe(true);
    }
  });

  it.each<Dtype>(['BF16', 'F16', 'F32', 'F64'])('for %s with more than 2^12 symbols in a block', (dtype) => {
    const random = seededRandom(24);
    const values = shuffled(8192, random); // some frequent, nearly all rare, in no order: only the longest symbols pay
    const heads = Uint16Array.from(
      { length: BLOCK_BYTES / DTYPE_BYTES[dtype] },
      () =>
        values[Math.floor(8192 * random() ** 5)]! * 4 +
        Math.floor(random() * 4) +
        32768 * Number(random() < 0.5),
    );
    const bytes = withHeads(heads, dtype, random);
    const [coded] = encodeTensor(dtype, [heads.length], bytes);
    expect(oracleTable(coded!.payload.subarray(11)).symbols.length).toBeGreaterThan(4096);
    expect(same(decodeBlock(kernels, coded!.payload, coded!.block), bytes)).toBe(true);
  });

  it.each([9000, 16384, 100_000])('for a block with one element in %d unlike the rest', (rarity) => {
    const random = seededRandom(25);
    for (let i = 0; i < 4; i++) {
      const bytes = Uint8Array.from({ length: BLOCK_BYTES }, () =>
        random() < 1 / rarity ? random() * 256 : 0,
      );
      expect(same(roundTrip('U8', [BLOCK_BYTES], bytes), bytes)).toBe(true);
    }
  });

  it('in memory that is used again, at any alignment, and in a Buffer', () => {
    const random = seededRandom(26);
    for (const dtype of DTYPES)
      for (const content of Object.keys(CONTENTS)) {
        const width = DTYPE_BYTES[dtype];
        const block = { dtype, first: 0, rows: 9, columns: 9, count: 81 };
        const elements = CONTENTS[content]!(random, 81, width);
        const expected = encodeBlock(kernels, elements, block);
        const memory = new Uint8Array(payloadLimit(elements) + 3);
        memory.set(elements, 3);
        const length = encodeBlockInto(
          kernels,
          memory.subarray(3, 3 + elements.length),
          block,
          memory.subarray(3),
        );
        expect(same(memory.subarray(3, 3 + length), expected)).toBe(true);
        const payload = Buffer.from(memory.buffer, 3, length);
        expect(same(decodeBlock(kernels, payload, block), elements)).toBe(true);
        expect(same(payload, expected)).toBe(true);
      }
  });
});

describe('size', () => {
  it('never exceeds that of the elements by more than 9 bytes', () => {
    fc.assert(
      fc.property(
        dtypes,
        fc.integer({ min: 1, max: 700 }),
        contents,
        fc.nat(),
        (dtype, count, content, seed) => {
          const [coded] = encodeTensor(dtype, [count], fill(content, seed, count, dtype));
          expect(coded!.payload.length).toBeLessThanOrEqual(count * DTYPE_BYTES[dtype] + 9);
        },
      ),
      runs,
    );
  });

  it.each<[Dtype, string, number]>([
    ['F32', 'the top 16 bits of weights', 0.36],
    ['F32', 'f16 in f32', 0.45],
    ['F32', 'the top 19 bits of weights', 0.45],
    ['F64', 'the top 16 bits of weights', 0.18],
    ['BF16', 'the top 12 bits of weights', 0.43],
    ['BF16', 'weights', 0.68],
    ['BF16', 'sorted', 0.68],
    ['BF16', 'all negative', 0.62],
    ['I64', 'one outlier in a constant', 0.001],
    ['U8', 'two values', 0.14],
    ['I32', 'ramp that wraps around', 0.0001],
  ])('of %s, %s: what the codec promises', (dtype, content, share) => {
    const count = BLOCK_BYTES / DTYPE_BYTES[dtype];
    const [coded] = encodeTensor(dtype, [count], fill(content, 27, count, dtype));
    expect(coded!.payload.length / BLOCK_BYTES).toBeLessThan(share);
  });
});

describe('a damaged payload', () => {
  const random = seededRandom(28);
  const coded = DTYPES.flatMap((dtype) =>
    Object.values(CONTENTS).flatMap((content) =>
      encodeTensor(dtype, [61, 5], content(random, 305, DTYPE_BYTES[dtype])),
    ),
  );

  /** Decodes what may be wrong: right bytes or a RangeError, nothing else. */
  function check(payload: Uint8Array, { block, elements }: (typeof coded)[number]): boolean {
    try {
      expect(same(decodeBlock(kernels, payload, block), elements)).toBe(true);
      return true;
    } catch (error) {
      expect(error).toBeInstanceOf(RangeError);
      return false;
    }
  }

  it('is refused or, where nothing that counts is damaged, decodes to the right bytes', () => {
    const memory = kernels.buffers.elements.buffer.byteLength;
    let refused = 0;
    for (let i = 0; i < 20_000; i++) {
      const one = coded[Math.floor(random() * coded.length)]!;
      const other = coded[Math.floor(random() * coded.length)]!;
      if (!check(damage(random, one.payload, other.payload), one)) refused++;
    }
    expect(refused).toBeGreaterThan(18_000);
    expect(kernels.buffers.elements.buffer.byteLength).toBe(memory); // that of memory which has grown would be 0
    for (const { payload, block, elements } of coded)
      expect(same(decodeBlock(kernels, payload, block), elements)).toBe(true);
  });

  it.each<Dtype>(['F64', 'F32', 'BF16', 'U8', 'I64'])(
    'is refused when it is of a whole block of %s',
    (dtype) => {
      const count = BLOCK_BYTES / DTYPE_BYTES[dtype];
      const [one] = encodeTensor(dtype, [count], fill('the top 12 bits of weights', 29, count, dtype));
      for (let i = 0; i < 40; i++) check(damage(random, one!.payload, one!.payload), one!);
      expect(check(one!.payload, one!)).toBe(true);
    },
  );

  it('is refused as another dtype, count or mode', () => {
    for (const one of coded.filter((_, i) => i % 3 === 0)) {
      for (const dtype of DTYPES)
        check(one.payload, {
          ...one,
          block: { ...one.block, dtype },
          elements: one.elements.subarray(0, 305 * DTYPE_BYTES[dtype]),
        });
      for (let mode = 0; mode < 256; mode += mode < 8 ? 1 : 31) check(one.payload.with(8, mode), one);
      for (const count of [1, 304])
        expect(() => decodeBlock(kernels, one.payload, { ...one.block, count })).toThrow(RangeError);
    }
  });

  it('is refused when the block itself is impossible', () => {
    const payload = encodeBlock(kernels, new Uint8Array(8), flat('U8', 8));
    for (const count of [0, -1, BLOCK_BYTES + 1])
      expect(() => decodeBlock(kernels, payload, flat('U8', count))).toThrow(RangeError);
    expect(() => decodeBlock(kernels, new Uint8Array(), flat('U8', 8))).toThrow(RangeError);
    expect(() => encodeBlock(kernels, new Uint8Array(7), flat('U8', 8))).toThrow(RangeError);
    expect(() => encodeBlock(kernels, new Uint8Array(), flat('U8', 0))).toThrow(RangeError);
    expect(() => encodeBlock(kernels, new Uint8Array(BLOCK_BYTES + 1), flat('U8', BLOCK_BYTES + 1))).toThrow(
      RangeError,
    );
  });
});
