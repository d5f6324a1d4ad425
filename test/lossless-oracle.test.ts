import { describe, expect, it } from 'vitest';
import { decodeBlock } from '../src/codecs/lossless/block.js';
import { encodeSymbols } from '../src/codecs/lossless/stream.js';
import { DTYPE_BYTES, type Dtype } from '../src/core/dtype.js';
import { checksum } from '../src/wasm/lossless.js';
import { CONTENTS, DTYPES } from './helpers/contents.js';
import { damage } from './helpers/damage.js';
import { encodeTensor, flat, kernels, same } from './helpers/lossless.js';
import { oracleDecode, oracleElements, oracleTable } from './helpers/oracle.js';
import { oracleFloats, oracleWriteStream, oracleWriteTable } from './helpers/oracle-encoder.js';
import { seededRandom } from './helpers/safetensors.js';
import { xxh64 } from './helpers/xxh64.js';

const text = (string: string) => new TextEncoder().encode(string);

describe('XXH64', () => {
  // The first ones are widely published; the rest are of the reference implementation's self test.
  const prime = 2654435761n;
  const pattern = (length: number) => {
    let state = prime;
    return Uint8Array.from({ length }, () => {
      const byte = Number(state >> 56n);
      state = BigInt.asUintN(64, state * 11400714785074694797n);
      return byte;
    });
  };
  it.each([
    [text(''), 0n, 0xef46db3751d8e999n],
    [text('a'), 0n, 0xd24ec4f1a98c6e5bn],
    [text('abc'), 0n, 0x44bc2cf5ad770999n],
    [text('Nobody inspects the spammish repetition'), 0n, 0xfbcea83c8a378bf1n],
    [pattern(0), prime, 0xac75fda2929b17efn],
    [pattern(1), 0n, 0xe934a84adb052768n],
    [pattern(1), prime, 0x5014607643a9b4c3n],
    [pattern(14), 0n, 0x8282dcc4994e35c8n],
    [pattern(14), prime, 0xc3bd6bf63deb6df0n],
    [pattern(222), 0n, 0xb641ae8cb691c174n],
    [pattern(222), prime, 0x20cb8ab7ae10c14an],
  ])('of known bytes', (bytes, seed, hash) => {
    expect(checksum(bytes, seed)).toBe(hash);
    expect(xxh64(bytes, seed)).toBe(hash);
  });

  it('agrees with the specification at every length', () => {
    const random = seededRandom(1);
    for (let length = 0; length < 200; length++) {
      const bytes = Uint8Array.from({ length }, () => random() * 256);
      const seed = BigInt(Math.floor(random() * 2 ** 32)) << 32n;
      expect(checksum(bytes, seed)).toBe(xxh64(bytes, seed));
    }
  });
});

describe('the specification', () => {
  it.each(DTYPES)('decodes encoded %s', (dtype) => {
    const random = seededRandom(2);
    const width = DTYPE_BYTES[dtype];
    for (const content of Object.values(CONTENTS))
      for (const shape of [[1], [2], [61, 61], [5, 1, 203]]) {
        const count = shape.reduce((product, n) => product * n);
        for (const { block, elements, payload } of encodeTensor(dtype, shape, content(random, count, width)))
          expect(same(oracleDecode(payload, { ...block, width, shape }), elements)).toBe(true);
      }
  });

  it('has modes, of which all but those for rows of a known length and for stairs are used', () => {
    const random = seededRandom(3);
    const used = DTYPES.flatMap((dtype) =>
      Object.values(CONTENTS).flatMap((content) =>
        encodeTensor(dtype, [61, 61], content(random, 61 * 61, DTYPE_BYTES[dtype])).map(
          ({ payload }) => payload[8]!,
        ),
      ),
    );
    expect([...new Set(used)].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 6, 8, 9, 10]);
  });

  it.each([0.3, 0.6, 0.9, 0.999, 0.99995])('codes symbols of which %d are one, word for word', (share) => {
    // Beyond 1 / 2 states are so large that an approximate division shows, once in 300,000 symbols.
    const random = seededRandom(4);
    const bins = new Uint32Array(256);
    const symbols = Array.from({ length: 500_000 }, () => {
      const symbol = random() < share ? 7 : Math.floor(256 * random() ** 3);
      bins[symbol]! += 1;
      return symbol;
    });
    expectCodedAlike(symbols, bins);
  });

  it('renormalizes a state that is exactly at the bound', () => {
    // Coding symbol 0 takes each state from 2^16 to 2^18, where symbol 1 must be the first to push a word out.
    expectCodedAlike([1, 1, 1, 1, 0, 0, 0, 0], Uint32Array.of(4096, 1, 12287));
  });
});

/** Codes symbols counted in `bins`, and expects the very bytes that the specification gives. */
function expectCodedAlike(symbols: readonly number[], bins: Uint32Array): void {
  kernels.buffers.symbols.set(symbols);
  const { table, stream } = encodeSymbols(kernels, symbols.length, bins);
  const read = oracleTable(table);
  expect(read.end).toBe(table.length);
  expect(same(oracleWriteTable(read), table)).toBe(true);
  expect(same(oracleWriteStream(symbols, read), stream)).toBe(true);
}

describe('the decoder', () => {
  it.each<[Dtype, number[]]>([
    ['BF16', [0]],
    ['F16', [0]],
    ['F32', [0, 1, 7, 13, 16]],
    ['F64', [0, 1, 20, 47, 48]],
  ])('reads every split of %s that may be written', (dtype, tails) => {
    const random = seededRandom(5);
    const width = DTYPE_BYTES[dtype];
    const count = 203;
    let checked = 0;
    for (const signed of [false, true])
      for (let low = signed ? 3 : 2; low <= 15; low++)
        for (let zeros = 0; zeros <= low; zeros++)
          for (const tailBits of tails) {
            const split = { low, zeros, signed, tailBits };
            const elements = splitElements(random, count, width, split);
            const payload = oracleFloats(elements, width, split);
            if (payload.length > elements.length + 9) continue; // more bits modeled than gained
            expect(same(decodeBlock(kernels, payload, flat(dtype, count)), elements)).toBe(true);
            checked++;
          }
    expect(checked).toBeGreaterThan(200 * tails.length);
  });

  it('agrees with the specification on damaged payloads, be they valid or not', { tags: 'slow' }, () => {
    const random = seededRandom(6);
    let valid = 0;
    for (const dtype of DTYPES)
      for (const content of Object.values(CONTENTS)) {
        const width = DTYPE_BYTES[dtype];
        const shape = [9, 7];
        const [coded] = encodeTensor(dtype, shape, content(random, 63, width));
        const { payload, block } = coded!;
        for (let i = 0; i < 12; i++) {
          const damaged = damage(random, payload, payload);
          if (damaged.length < 9 || damaged.length > 63 * width + 9) continue;
          const expected = attempt(() => oracleElements(damaged, { ...block, width, shape }));
          if (expected) new DataView(damaged.buffer).setBigUint64(0, xxh64(expected), true);
          const decoded = attempt(() => decodeBlock(kernels, damaged, block).slice());
          expect(decoded).toEqual(expected);
          if (expected) valid++;
        }
      }
    expect(valid).toBeGreaterThan(200);
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

/** Elements with at most three symbols, random signs and random bits wherever the split keeps them. */
function splitElements(
  random: () => number,
  count: number,
  width: number,
  { low, zeros, signed, tailBits }: { low: number; zeros: number; signed: boolean; tailBits: number },
): Uint8Array {
  const below = (limit: number) => Math.floor(random() * limit);
  const symbols = Array.from({ length: 3 }, () => below(2 ** (15 - low + Number(signed))));
  const bytes = new Uint8Array(count * 8);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) {
    const sign = signed ? 0 : below(2) * 2 ** 15;
    const head = sign + symbols[below(3)]! * 2 ** low + below(2 ** (low - zeros)) * 2 ** zeros;
    const tail = BigInt(below(2 ** tailBits)) << BigInt(48 - tailBits);
    view.setBigUint64(i * 8, (BigInt(head) << 48n) | tail, true);
  }
  return bytes.filter((_, i) => i % 8 >= 8 - width);
}
