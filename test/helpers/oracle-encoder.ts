// Writes what oracle.ts reads, again from spec/wpk-v1.md alone: streams with plain divisions, and float blocks with any
// split, also those that the product's encoder would never choose.
import { oracleStates } from './oracle.js';
import { littleEndian, xxh64 } from './xxh64.js';

export interface OracleSplit {
  readonly low: number;
  readonly zeros: number;
  readonly signed: boolean;
  readonly tailBits: number;
}

interface Frequencies {
  readonly symbols: readonly number[];
  readonly frequencies: readonly number[];
}

/** Elements of 2, 4 or 8 bytes as a payload of mode 4; bits that the split does not keep must be zero. */
export function oracleFloats(elements: Uint8Array, width: number, split: OracleSplit): Uint8Array {
  const { low, zeros, signed, tailBits } = split;
  const [symbols, heads, tails]: [number[], number[], number[]] = [[], [], []];
  const raw = low - zeros + (signed ? 0 : 1);
  for (let i = 0; i < elements.length; i += width) {
    const x = littleEndian(elements.subarray(i, i + width));
    const head = Number(x >> BigInt(8 * width - 16));
    const sign = head >> 15;
    symbols.push((signed ? head : head % 2 ** 15) >> low);
    heads.push(((head % 2 ** low) >> zeros) + (signed ? 0 : sign * 2 ** (low - zeros)));
    tails.push(Number((x % 2n ** BigInt(8 * width - 16)) >> BigInt(8 * width - 16 - tailBits)));
  }
  const table = evenTable(symbols);
  return withDigest(elements, 4, [
    Uint8Array.of(low + 16 * zeros, tailBits + (signed ? 128 : 0)),
    oracleWriteTable(table),
    plane(heads, raw),
    plane(tails, tailBits),
    oracleWriteStream(symbols, table),
  ]);
}

/** Digest, mode and body. */
export function withDigest(elements: Uint8Array, mode: number, body: readonly Uint8Array[]): Uint8Array {
  const digest = new Uint8Array(BigUint64Array.of(xxh64(elements)).buffer);
  return Uint8Array.from([...digest, mode, ...body.flatMap((piece) => [...piece])]);
}

/** Every symbol as frequent as the next, the last taking what is left over: valid if not short. */
function evenTable(symbols: readonly number[]): Frequencies {
  const distinct = [...new Set(symbols)].sort((a, b) => a - b);
  const frequencies = distinct.map(() => Math.floor(2 ** 14 / distinct.length));
  frequencies[0]! += 2 ** 14 - frequencies.reduce((sum, f) => sum + f, 0);
  return { symbols: distinct, frequencies };
}

/** "Frequency table". */
export function oracleWriteTable({ symbols, frequencies }: Frequencies): Uint8Array {
  const bits: number[] = [];
  const field = (value: number, width: number) => {
    for (let i = 0; i < width; i++) bits.push(Math.floor(value / 2 ** i) % 2);
  };
  const gamma = (value: number) => {
    const width = Math.floor(Math.log2(value));
    field(0, width);
    field(1, 1);
    field(value, width);
  };
  gamma(symbols.length);
  symbols.forEach((symbol, i) => {
    const length = Math.floor(Math.log2(frequencies[i]!));
    const change = length - (i ? Math.floor(Math.log2(frequencies[i - 1]!)) : 0);
    gamma(symbol - (symbols[i - 1] ?? -1));
    gamma(1 + (change < 0 ? -2 * change - 1 : 2 * change));
    field(frequencies[i]!, length);
  });
  return plane(bits, 1, Math.ceil(bits.length / 8));
}

/** "Stream", backwards: what the decoder does last is undone first. */
export function oracleWriteStream(
  coded: readonly number[],
  { symbols, frequencies }: Frequencies,
): Uint8Array {
  if (symbols.length === 1) return new Uint8Array();
  const index = new Map(symbols.map((symbol, i) => [symbol, i]));
  const starts = frequencies.map((_, i) => frequencies.slice(0, i).reduce((sum, f) => sum + f, 0));
  const states = Array.from({ length: oracleStates(coded.length) }, () => 2 ** 16);
  const words: number[] = [];
  for (let i = coded.length - 1; i >= 0; i--) {
    const which = index.get(coded[i]!)!;
    const frequency = frequencies[which]!;
    let x = states[i % states.length]!;
    if (x >= frequency * 2 ** 18) {
      words.push(x % 2 ** 16);
      x = Math.floor(x / 2 ** 16);
    }
    states[i % states.length] = Math.floor(x / frequency) * 2 ** 14 + (x % frequency) + starts[which]!;
  }
  const stream = new Uint8Array(4 * states.length + 2 * words.length);
  stream.set(new Uint8Array(Uint32Array.from(states).buffer));
  stream.set(new Uint8Array(Uint16Array.from(words.reverse()).buffer), 4 * states.length);
  return stream;
}

/** Fields of `width` bits; a group of eight takes whole bytes. */
function plane(
  fields: readonly number[],
  width: number,
  bytes = width * Math.ceil(fields.length / 8),
): Uint8Array {
  const packed = new Uint8Array(bytes);
  fields.forEach((field, i) => {
    for (let b = 0; b < width; b++) {
      const at = i * width + b;
      packed[Math.floor(at / 8)]! |= (Math.floor(field / 2 ** b) % 2) << (at % 8);
    }
  });
  return packed;
}
