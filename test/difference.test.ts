import { describe, expect, it } from 'vitest';
import { BitWriter } from '../src/codecs/lossless/bits.js';
import { decodeBlock, encodeBlock, needsBase } from '../src/codecs/lossless/block.js';
import { writeTableTo } from '../src/codecs/lossless/frequencies.js';
import { DTYPE_BYTES, type Dtype } from '../src/core/dtype.js';
import { BLOCK_BYTES } from '../src/wasm/lossless.js';
import { DTYPES } from './helpers/contents.js';
import { damage } from './helpers/damage.js';
import { flat, kernels, same } from './helpers/lossless.js';
import { oracleDecode, oracleElements } from './helpers/oracle.js';
import { BASES, bf16Pair, CHANGES, pairOf } from './helpers/pairs.js';
import { seededRandom } from './helpers/safetensors.js';
import { xxh64 } from './helpers/xxh64.js';

// Blocks that are decoded with the elements of a base: modes 32 and 33 of spec/wpk-v1.md.

const [SAME, DIFFERENCE] = [32, 33];
const CODED = DTYPES.filter((dtype) => DTYPE_BYTES[dtype] <= 4);
const modeOf = (payload: Uint8Array) => payload[8]!;

/** The block of the oracle. */
const plainly = (dtype: Dtype, count: number, base: Uint8Array) => ({
  ...{ width: DTYPE_BYTES[dtype], count, first: 0, shape: [count], dtype, base },
});

/** Encodes a block, and expects that it is decoded to the same elements. @returns the payload. */
function roundTrip(dtype: Dtype, elements: Uint8Array, base: Uint8Array): Uint8Array {
  const count = elements.length / DTYPE_BYTES[dtype];
  const before = base.slice();
  const payload = encodeBlock(kernels, elements, flat(dtype, count), base);
  expect(payload.length).toBeLessThanOrEqual(elements.length + 9);
  expect(same(decodeBlock(kernels, payload, flat(dtype, count), base), elements)).toBe(true);
  expect(same(base, before)).toBe(true);
  return payload;
}

/** Does so, and the oracle must agree. */
function roundTripPlainly(dtype: Dtype, elements: Uint8Array, base: Uint8Array): Uint8Array {
  const payload = roundTrip(dtype, elements, base);
  const count = elements.length / DTYPE_BYTES[dtype];
  expect(same(oracleDecode(payload, plainly(dtype, count, base)), elements)).toBe(true);
  return payload;
}

describe('a block with a base comes back bit for bit, as the specification has it', () => {
  const anyChange = (dtype: Dtype) => {
    const random = seededRandom(31);
    const modes = new Set<number>();
    for (const change of Object.keys(CHANGES))
      for (const base of BASES) {
        const pair = pairOf(random, { dtype, count: 101, base, change });
        modes.add(modeOf(roundTripPlainly(dtype, pair.elements, pair.base)));
      }
    expect([modes.has(SAME), modes.has(DIFFERENCE)]).toEqual([true, CODED.includes(dtype)]);
  };
  // one type per width and kind here, the others with the slow tests
  const FIRST: readonly Dtype[] = ['BF16', 'F32', 'F8_E4M3', 'I16', 'U8', 'F64'];
  const OTHERS = DTYPES.filter((dtype) => !FIRST.includes(dtype));
  it.each(FIRST)('%s, of any base and change', anyChange);
  it.each(OTHERS)('%s, of any base and change', { tags: 'slow' }, anyChange);

  it.each(DTYPES)('%s, of any count, with a base that is shorter', (dtype) => {
    const random = seededRandom(32);
    const width = DTYPE_BYTES[dtype];
    for (const count of [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 63])
      for (const change of ['nothing', 'steps of one', 'far steps of a few']) {
        const { elements, base } = pairOf(random, { dtype, count, base: 'weights', change });
        for (const known of [count, count - 1, count >> 1, 1, 0])
          roundTripPlainly(dtype, elements, base.subarray(0, known * width));
      }
  });

  const aroundChunks = (dtype: Dtype) => {
    const random = seededRandom(33);
    const width = DTYPE_BYTES[dtype];
    const whole = BLOCK_BYTES / width;
    for (const change of ['far steps of a few', 'steps']) {
      const pair = pairOf(random, { dtype, count: whole, base: 'weights', change });
      for (const count of [8191, 8192, 8201, whole]) {
        const elements = pair.elements.subarray(0, count * width);
        const base = pair.base.subarray(0, (count - 5) * width);
        expect(modeOf(roundTrip(dtype, elements, base))).toBeGreaterThan(0);
      }
    }
  };
  const name = '%s, of many counts around whole chunks and blocks';
  it.each<Dtype>(['BF16', 'F32', 'F8_E4M3'])(name, aroundChunks);
  it.each<Dtype>(['F16', 'I16', 'I32', 'U8'])(name, { tags: 'slow' }, aroundChunks);

  it.each<Dtype>(['BF16', 'F16', 'F32'])(
    '%s, whose block has many classes, low bits, zeros and escapes',
    (dtype) => {
      const random = seededRandom(34);
      const width = DTYPE_BYTES[dtype];
      const count = 20_000;
      const { base } = pairOf(random, { dtype, count, base: 'all bit patterns', change: 'nothing' });
      const elements = CHANGES['steps as large as the values']!(random, base, width);
      for (let at = 0; at < elements.length; at += 13 * width)
        elements.set(base.subarray(at, at + width), at);
      const payload = roundTripPlainly(dtype, elements, base);
      expect(modeOf(payload)).toBe(DIFFERENCE);
    },
  );

  const manyStates = (dtype: Dtype) => {
    const random = seededRandom(41);
    const count = Math.min(2 ** 18 + 37, BLOCK_BYTES / DTYPE_BYTES[dtype]);
    const { base } = pairOf(random, {
      dtype,
      count,
      base: 'exponents over the whole range',
      change: 'nothing',
    });
    const elements = CHANGES['steps as large as the values']!(random, base, DTYPE_BYTES[dtype]);
    const payload = roundTripPlainly(dtype, elements, base.subarray(0, base.length - 16));
    expect(modeOf(payload)).toBe(DIFFERENCE);
  };
  const wide = '%s, of so many elements that the stream has 32 states';
  it.each<Dtype>(['BF16'])(wide, manyStates);
  it.each<Dtype>(['F32', 'F16', 'U8', 'F8_E5M2'])(wide, { tags: 'slow' }, manyStates);

  it.each(CODED)('%s, in memory that begins anywhere', (dtype) => {
    const random = seededRandom(35);
    const { elements, base } = pairOf(random, { dtype, count: 100, base: 'weights', change: 'steps of one' });
    const expected = roundTrip(dtype, elements, base);
    const shifted = (bytes: Uint8Array) => {
      const memory = new Uint8Array(bytes.length + 3);
      memory.set(bytes, 3);
      return memory.subarray(3);
    };
    expect(same(roundTrip(dtype, shifted(elements), shifted(base)), expected)).toBe(true);
  });

  it('NaN payloads, infinities, -0 and subnormals, next to each other', () => {
    const words = [
      0, 0x8000, 1, 0x8001, 0x7f, 0x7f7f, 0x7f80, 0xff80, 0x7f81, 0xffff, 0x7fff, 0x3f80, 0xbf80,
    ];
    for (const dtype of ['BF16', 'F16', 'F8_E4M3', 'F8_E5M2', 'U8', 'I16', 'F32'] as const)
      for (const shift of [0, 1, 5]) {
        const base = new Uint8Array(Uint16Array.from({ length: 520 }, (_, i) => words[i % 13]!).buffer);
        const tuned = Uint16Array.from({ length: 520 }, (_, i) => words[(i + shift) % 13]! + (i % 3));
        roundTripPlainly(dtype, new Uint8Array(tuned.buffer), base);
      }
  });

  it('random bytes take no more than without a base', () => {
    const random = seededRandom(36);
    for (const dtype of DTYPES) {
      const pair = pairOf(random, { dtype, count: 5000, base: 'white noise', change: 'everything' });
      const payload = roundTrip(dtype, pair.elements, pair.base);
      expect(payload.length).toBe(encodeBlock(kernels, pair.elements, flat(dtype, 5000)).length);
      expect(needsBase(payload)).toBe(false);
    }
  });

  it('what is shorter without a base needs none', () => {
    const ramp = new Uint8Array(Uint32Array.from({ length: 500 }, (_, i) => 7 * i).buffer);
    expect(modeOf(roundTrip('U32', ramp, ramp))).toBe(1);
  });
});

describe('a damaged block with a base', () => {
  it('decodes as the specification has it, be it valid or not', () => {
    const random = seededRandom(37);
    let [valid, refused] = [0, 0];
    for (const dtype of CODED)
      for (const change of ['steps of one', 'steps with low bits', 'far steps of a few', 'signs of some'])
        for (const from of ['weights', 'all bit patterns']) {
          const { elements, base } = pairOf(random, { dtype, count: 63, base: from, change });
          const block = flat(dtype, 63);
          const payload = encodeBlock(kernels, elements, block, base);
          for (let i = 0; i < 12; i++) {
            const damaged = damage(random, payload, payload);
            if (damaged.length < 9 || damaged.length > elements.length + 9) continue;
            if (damaged[8] === 5) continue; // the oracle has no fields
            const expected = attempt(() => oracleElements(damaged, plainly(dtype, 63, base)));
            if (expected) new DataView(damaged.buffer).setBigUint64(0, xxh64(expected), true);
            expect(attempt(() => decodeBlock(kernels, damaged, block, base).slice())).toEqual(expected);
            if (expected) valid++;
            else refused++;
          }
        }
    expect(Math.min(valid, refused)).toBeGreaterThan(100);
  });

  it('of a whole block is refused, and never decodes to other elements', () => {
    const random = seededRandom(38);
    for (const dtype of ['BF16', 'F32'] as const) {
      const count = BLOCK_BYTES / DTYPE_BYTES[dtype];
      for (const change of ['steps with low bits', 'far steps of a few']) {
        const { elements, base } = pairOf(random, { dtype, count, base: 'weights', change });
        const payload = encodeBlock(kernels, elements, flat(dtype, count), base);
        for (let i = 0; i < 5; i++) {
          const damaged = damage(random, payload, payload);
          const decoded = attempt(() => decodeBlock(kernels, damaged, flat(dtype, count), base));
          if (decoded) expect(same(decoded, elements)).toBe(true);
        }
        expect(same(decodeBlock(kernels, payload, flat(dtype, count), base), elements)).toBe(true);
      }
    }
  });

  it('is refused with another base, or none', () => {
    const random = seededRandom(39);
    for (const change of ['nothing', 'steps of one']) {
      const { elements, base } = pairOf(random, { dtype: 'BF16', count: 300, base: 'weights', change });
      const block = flat('BF16', 300);
      const payload = encodeBlock(kernels, elements, block, base);
      expect(needsBase(payload)).toBe(true);
      const decode = (other?: Uint8Array) => attempt(() => decodeBlock(kernels, payload, block, other));
      expect(decode()).toBeUndefined();
      for (const at of [0, 301, 599]) expect(decode(base.with(at, base[at]! ^ 4))).toBeUndefined();
      expect(decode(base.subarray(0, 598))).toBeUndefined();
      expect(decode(Uint8Array.from([...base, 0, 0]))).toBeUndefined();
    }
  });

  it.each<Dtype>(['F64', 'I64', 'U64'])('of %s is refused as a difference', (dtype) => {
    const elements = new Uint8Array(800).fill(7);
    const payload = encodeBlock(kernels, elements, flat(dtype, 100), elements.with(0, 1)).with(8, DIFFERENCE);
    expect(() => decodeBlock(kernels, payload, flat(dtype, 100), elements)).toThrow(RangeError);
  });
});

describe('a block that breaks one rule', () => {
  const base = new Uint8Array(Uint16Array.from({ length: 64 }, (_, i) => 0x3c00 + 3 * i).buffer);
  const zeros = { symbols: [0, 255], frequencies: [1, 4095] };
  const only = (symbol: number) => ({ symbols: [symbol], frequencies: [4096] });
  const refused = (head: Partial<Head>) =>
    expect(() => decodeBlock(kernels, payloadOf(base, head), flat('BF16', 64), base)).toThrow(RangeError);

  it('is decoded without it', () => {
    const payload = payloadOf(base, {});
    expect(same(decodeBlock(kernels, payload, flat('BF16', 64), base), base)).toBe(true);
    expect(same(oracleDecode(payload, plainly('BF16', 64, base)), base)).toBe(true);
    const two = payloadOf(base, {
      classes: [
        { low: 1, table: zeros },
        { after: 255, low: 24, table: zeros },
      ],
    });
    expect(same(decodeBlock(kernels, two, flat('BF16', 64), base), base)).toBe(true);
  });

  it.each<[string, Partial<Head>]>([
    ['symbol 255 without low bits', { classes: [{ low: 0, table: zeros }] }],
    ['25 low bits', { classes: [{ low: 25, table: zeros }] }],
    ['a class beyond the last exponent', { classes: [{ table: zeros }, { after: 256, table: zeros }] }],
    ['33 classes', { classes: Array.from({ length: 33 }, () => ({ after: 1, table: zeros })) }],
    ['a table of one symbol', { classes: [{ table: only(255) }] }],
    ['an escape that is not used', { escapes: Uint8Array.of(1, 0) }],
    ['low bits that are not used', { lowBits: Uint8Array.of(0) }],
    ['more escapes than there are bytes', { escapeCount: 1000 }],
    ['more low bits than there are bytes', { lowLength: 2 ** 20 }],
    ['a word that is left', { after: Uint8Array.of(0, 0) }],
    ['a stream cut short', { before: 4 }],
  ])('%s', (_, head) => refused(head));

  it('symbol 255 without low bits, also of bytes', () => {
    const decode = (low: number) =>
      attempt(() =>
        decodeBlock(kernels, payloadOf(base, { classes: [{ low, table: zeros }] }, 1), flat('I8', 128), base),
      );
    expect(same(decode(1)!, base)).toBe(true);
    expect(decode(0)).toBeUndefined();
  });

  it('two classes of integers, which have no exponent', () => {
    const payload = payloadOf(base, { classes: [{ table: zeros }, { after: 1, table: zeros }] });
    expect(same(decodeBlock(kernels, payload, flat('BF16', 64), base), base)).toBe(true);
    expect(() => decodeBlock(kernels, payload, flat('U16', 64), base)).toThrow(RangeError);
  });
});

/** What a payload of differences that are all zero says. */
interface Head {
  readonly classes: readonly {
    readonly after?: number;
    readonly low?: number;
    readonly table: { readonly symbols: number[]; readonly frequencies: number[] };
  }[];
  readonly escapes: Uint8Array;
  readonly escapeCount: number;
  readonly lowBits: Uint8Array;
  readonly lowLength: number;
  /** Bytes behind the stream, and those of the stream that are there. */
  readonly after: Uint8Array;
  readonly before: number;
}

/** Returns a payload of elements that are those of the base, all coded as symbol 255 by the first table. */
function payloadOf(base: Uint8Array, head: Partial<Head>, width = 2): Uint8Array {
  const { escapes = new Uint8Array(), lowBits = new Uint8Array(), after = new Uint8Array() } = head;
  const { classes = [{ table: { symbols: [0, 255], frequencies: [1, 4095] } }] } = head;
  const bits = new BitWriter();
  bits.writeGamma(classes.length);
  bits.writeGamma(1 + (head.escapeCount ?? escapes.length / width));
  bits.writeGamma(1 + (head.lowLength ?? lowBits.length));
  for (const [i, { after: from = 1, low = 1, table }] of classes.entries()) {
    if (i) bits.writeGamma(from);
    bits.write(low, 5);
    writeTableTo(bits, table);
  }
  const states = new Uint32Array(4).fill(2 ** 16);
  for (let i = base.length / width - 1; i >= 0; i--) {
    const state = states[i % 4]!; // of so few symbols, it never has to shed a word
    states[i % 4] = Math.floor(state / 4095) * 4096 + (state % 4095) + 1;
  }
  const stream = new Uint8Array(states.buffer).subarray(0, head.before);
  const digest = new Uint8Array(BigUint64Array.of(xxh64(base)).buffer);
  return Uint8Array.from([
    ...digest,
    DIFFERENCE,
    ...bits.finish(),
    ...escapes,
    ...lowBits,
    ...stream,
    ...after,
  ]);
}

describe('size', () => {
  // Deviation of the steps over that of the weights; at most this share of the bytes, digest and frame included.
  it.each([
    [1e-4, 0.026],
    [1e-3, 0.096],
    [1e-2, 0.26],
    [1e-1, 0.472],
  ])('of Gaussian steps of %d: at most %d', (ratio, most) => {
    const { base, tuned } = bf16Pair(seededRandom(40), 2 ** 20, ratio);
    let coded = 0;
    for (let at = 0; at < tuned.length; at += BLOCK_BYTES)
      coded +=
        16 +
        roundTrip('BF16', tuned.subarray(at, at + BLOCK_BYTES), base.subarray(at, at + BLOCK_BYTES)).length;
    expect(coded / tuned.length).toBeLessThanOrEqual(most);
  });
});

/** What it returns, or undefined for a RangeError; other errors pass. */
function attempt(decode: () => Uint8Array): Uint8Array | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
