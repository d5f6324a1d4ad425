import { sumOf } from '../../core/sum.js';
import { SYMBOL_SCALE_BITS } from '../../wasm/constants.js';
import { MAX_SYMBOLS } from '../../wasm/lossless.js';
import { BitReader, BitWriter, unzigzag, zigzag } from './bits.js';

/** A static model: the symbols that occur, ascending, and their frequencies, which are positive and sum to 2^scaleBits. */
export interface FrequencyTable {
  readonly symbols: readonly number[];
  readonly frequencies: readonly number[];
}

/**
 * Returns the table of frequencies with the shortest code for `counts`. Every symbol that occurs gets at least 1, and rounding
 * differences are distributed one by one where they cost least. At least one and at most half as many symbols as 2^scaleBits must occur. Integer arithmetic and
 * a total order make the result the same on every machine.
 */
export function normalize(
  counts: ArrayLike<number>,
  length = counts.length,
  scaleBits = SYMBOL_SCALE_BITS,
): FrequencyTable {
  const scale = 1 << scaleBits;
  const symbols: number[] = [];
  let total = 0;
  for (let s = 0; s < length; s++)
    if (counts[s]) {
      symbols.push(s);
      total += counts[s]!;
    }
  const frequencies = symbols.map((s) => Math.max(1, Math.round((counts[s]! * scale) / total)));
  let excess = sumOf(frequencies, (f) => f) - scale;
  const step = Math.sign(excess);
  for (; excess !== 0; excess -= step) {
    let best = -1;
    let lowest = Infinity;
    for (let i = 0; i < symbols.length; i++) {
      const from = frequencies[i]!;
      if (from - step < 1) continue;
      // the change in coded length, to first order: count / frequency
      const cost = (step * counts[symbols[i]!]!) / (from - step / 2);
      if (cost < lowest) {
        lowest = cost;
        best = i;
      }
    }
    frequencies[best]! -= step;
  }
  return { symbols, frequencies };
}

/** Encodes a table: the number of symbols, then the distance from the last and the frequency of each. spec/wpk-v1.md, "Frequency table". */
export function writeTable(table: FrequencyTable): Uint8Array {
  const bits = new BitWriter();
  writeTableTo(bits, table);
  return bits.finish();
}

/** Encodes a table as {@link writeTable}, without padding. */
export function writeTableTo(bits: BitWriter, { symbols, frequencies }: FrequencyTable): void {
  bits.writeGamma(symbols.length);
  let lastSymbol = -1;
  let lastLength = 0;
  symbols.forEach((symbol, i) => {
    bits.writeGamma(symbol - lastSymbol);
    const length = 31 - Math.clz32(frequencies[i]!);
    bits.writeGamma(1 + zigzag(length - lastLength));
    bits.write(frequencies[i]!, length);
    lastSymbol = symbol;
    lastLength = length;
  });
}

/**
 * Reads a table from the start of `bytes`.
 * @throws {RangeError} when it is truncated, has a symbol of `limit` or more, or does not sum to 2^14.
 */
export function readTable(
  bytes: Uint8Array,
  limit: number,
): FrequencyTable & { readonly lengthBytes: number } {
  const bits = new BitReader(bytes);
  const table = readTableFrom(bits, limit);
  return { ...table, lengthBytes: bits.bytesRead };
}

/** Reads the next table. @throws {RangeError} as {@link readTable}, with 2^scaleBits. */
export function readTableFrom(bits: BitReader, limit: number, scaleBits = SYMBOL_SCALE_BITS): FrequencyTable {
  const count = bits.readGamma();
  if (count > Math.min(limit, MAX_SYMBOLS)) throw new RangeError('table with more symbols than its alphabet');
  const symbols: number[] = [];
  const frequencies: number[] = [];
  let symbol = -1;
  let length = 0;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    symbol += bits.readGamma();
    length += unzigzag(bits.readGamma() - 1);
    if (symbol >= limit || length < 0 || length > scaleBits)
      throw new RangeError('table with a symbol outside its alphabet');
    const frequency = (1 << length) | bits.read(length);
    symbols.push(symbol);
    frequencies.push(frequency);
    sum += frequency;
  }
  if (sum !== 1 << scaleBits)
    throw new RangeError(`expected frequencies that sum to ${1 << scaleBits}, found ${sum}`);
  return { symbols, frequencies };
}
