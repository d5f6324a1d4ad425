// The slow, obvious coder of lossy blocks, written from spec/wpk-v1.md: one weight at a time, plain numbers, no lookup.
import { CONTEXTS, level, NEXT_STATE } from '../../src/codecs/trellis/levels.js';
import type { BlockContexts, BlockSteps, CodedIndices, IndexTables } from '../../src/wasm/indices.js';

const ESCAPE = -64;
const SCALE = 4096;
const LOWEST = 65536;

/** Calls `visit` for each weight in the stream's order; it returns the weight's index, on which the next states depend. */
function walk(
  contexts: BlockContexts,
  visit: (place: number, column: number, table: number) => number,
): void {
  const columns = contexts.columnContexts.length;
  const states = new Array<number>(columns).fill(0);
  contexts.rowContexts.forEach((rowContext, i) => {
    for (let j = 0; j < columns; j++) {
      const context = Math.min(CONTEXTS - 1, Math.max(0, rowContext + contexts.columnContexts[j]!));
      const k = visit(i * columns + j, j, context * 2 + (states[j]! & 1));
      states[j] = NEXT_STATE[states[j]!]![Math.abs(k) % 2]!;
    }
  });
}

/** Tables in use, of every weight. */
export function tablesOf(contexts: BlockContexts, indices: ArrayLike<number>): Uint8Array {
  const used = new Uint8Array(indices.length);
  walk(contexts, (place, _, table) => {
    used[place] = table;
    return indices[place]!;
  });
  return used;
}

/** Token, and the value and the number of the bits that follow it. */
function tokenOf(k: number): [token: number, value: number, bits: number] {
  const magnitude = Math.abs(k);
  if (magnitude < 16) return [k, 0, 0];
  const bits = Math.floor(Math.log2(magnitude)) - 3;
  const token = 8 * bits + Math.floor(magnitude / 2 ** bits);
  return [Math.sign(k) * token, magnitude % 2 ** bits, bits];
}

const frequencyOf = ({ frequencies }: IndexTables, table: number, token: number) =>
  frequencies[table * 128 + token + 64]!;
function startOf(tables: IndexTables, table: number, token: number): number {
  let start = 0;
  for (let before = ESCAPE; before < token; before++) start += frequencyOf(tables, table, before);
  return start;
}

/** What the encoder must write, byte for byte. */
export function oracleEncode(
  tables: IndexTables,
  contexts: BlockContexts,
  indices: ArrayLike<number>,
): CodedIndices {
  const bits: number[] = [];
  const writeBits = (value: number, count: number) => {
    for (let i = 0; i < count; i++) bits.push(Math.floor(value / 2 ** i) % 2);
  };
  const symbols: [lane: number, start: number, frequency: number][] = [];
  walk(contexts, (place, column, table) => {
    const [token, value, count] = tokenOf(indices[place]!);
    const known = frequencyOf(tables, table, token) > 0;
    if (!known) writeBits(token + 64, 7);
    writeBits(value, count);
    const coded = known ? token : ESCAPE;
    symbols.push([column % 4, startOf(tables, table, coded), frequencyOf(tables, table, coded)]);
    return indices[place]!;
  });
  const states = [LOWEST, LOWEST, LOWEST, LOWEST];
  const words: number[] = [];
  for (const [lane, start, frequency] of symbols.reverse()) {
    let x = states[lane]!;
    if (x >= (LOWEST / SCALE) * 65536 * frequency) {
      words.push(x % 65536);
      x = Math.floor(x / 65536);
    }
    states[lane] = Math.floor(x / frequency) * SCALE + start + (x % frequency);
  }
  const stream = new Uint8Array(16 + 2 * words.length);
  const view = new DataView(stream.buffer);
  states.forEach((state, i) => {
    view.setUint32(4 * i, state, true);
  });
  words.reverse().forEach((word, i) => {
    view.setUint16(16 + 2 * i, word, true);
  });
  const raw = new Uint8Array(Math.ceil(bits.length / 8));
  bits.forEach((bit, i) => {
    raw[i >> 3]! |= bit << (i % 8);
  });
  return { stream, raw };
}

/** Indices of a stream; undefined when it is not one. */
export function oracleDecode(
  tables: IndexTables,
  contexts: BlockContexts,
  { stream, raw }: CodedIndices,
): Int16Array | undefined {
  const view = new DataView(stream.buffer, stream.byteOffset, stream.length);
  if (stream.length < 16 || stream.length % 2) return undefined;
  const states = [0, 4, 8, 12].map((at) => view.getUint32(at, true));
  let next = 16;
  let bit = 0;
  let good = true;
  const readBits = (count: number) => {
    let value = 0;
    for (let i = 0; i < count; i++, bit++) value += (((raw[bit >> 3] ?? 0) >> (bit % 8)) % 2) * 2 ** i;
    good &&= bit <= raw.length * 8;
    return value;
  };
  const columns = contexts.columnContexts.length;
  const indices = new Int16Array(contexts.rowContexts.length * columns);
  walk(contexts, (place, column, table) => {
    if (!good) return 0;
    let x = states[column % 4]!;
    const slot = x % SCALE;
    let token = ESCAPE;
    let start = 0;
    while (token < 64 && slot >= start + frequencyOf(tables, table, token))
      start += frequencyOf(tables, table, token++);
    if (token === 64) good = false;
    if (!good) return 0;
    x = frequencyOf(tables, table, token) * Math.floor(x / SCALE) + slot - start;
    if (x < LOWEST) {
      good = next < stream.length;
      x = good ? x * 65536 + view.getUint16(next, true) : 0;
      next += 2;
    }
    states[column % 4] = x;
    if (token === ESCAPE) token = readBits(7) + ESCAPE;
    const size = Math.abs(token);
    const count = size < 16 ? 0 : Math.floor(size / 8) - 1;
    const magnitude = count ? (8 + (size % 8)) * 2 ** count + readBits(count) : size;
    indices[place] = Math.sign(token) * magnitude;
    return indices[place]!;
  });
  const whole =
    next === stream.length && Math.ceil(bit / 8) === raw.length && states.every((x) => x === LOWEST);
  const padding = bit % 8 ? raw[bit >> 3]! >> (bit % 8) : 0;
  return good && whole && padding === 0 ? indices : undefined;
}

/** float32 values of indices. */
export function oracleValues(
  tables: IndexTables,
  contexts: BlockContexts,
  steps: BlockSteps,
  indices: ArrayLike<number>,
): Float32Array {
  const columns = contexts.columnContexts.length;
  const used = tablesOf(contexts, indices);
  return Float32Array.from(indices, (k, place) => {
    const table = used[place]!;
    const shrink = tables.shrinks[table * 4 + Math.min(Math.abs(k), 3)]!;
    const reconstruction = Math.fround(Math.sign(k) * Math.fround(Math.abs(level(table % 2, k)) - shrink));
    const first = Math.fround(reconstruction * steps.rowSteps[Math.floor(place / columns)]!);
    return Math.fround(first * steps.columnSteps[place % columns]!);
  });
}

/** Bits of the nearest number with so many exponent and mantissa bits, ties to even, at most the largest finite one. */
export function oracleRound(value: number, exponentBits: number, mantissaBits: number): number {
  const bias = 2 ** (exponentBits - 1) - 1;
  const magnitude = Math.abs(value);
  const exponent = magnitude === 0 ? 1 - bias : Math.max(1 - bias, exponentOf(magnitude));
  const unit = 2 ** (exponent - mantissaBits);
  const lower = Math.floor(magnitude / unit);
  const rest = magnitude / unit - lower;
  const up = rest > 0.5 || (rest === 0.5 && lower % 2 === 1);
  // a mantissa that overflows moves on into the exponent, as the fields lie side by side
  const bits = (exponent + bias - 1) * 2 ** mantissaBits + lower + (up ? 1 : 0);
  const largest = (2 ** exponentBits - 1) * 2 ** mantissaBits - 1;
  return Math.min(bits, largest) + (Object.is(Math.sign(value), -1) || Object.is(value, -0) ? 32768 : 0);
}

function exponentOf(magnitude: number): number {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, magnitude);
  return ((bits.getUint32(0) >> 20) & 2047) - 1023;
}
