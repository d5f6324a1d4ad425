// Floors: the entropy of synthetic tensors, given what helps to predict them, without the cost of any table.

import { LEVELS } from '../../dist/codecs/lossless/levels.js';
import { ggmlRecords, placeOf, symbolBits } from '../../dist/codecs/lossless/records.js';
import { DTYPE_BYTES } from '../../dist/core/dtype.js';

/** Bits of sign and exponent. */
const SIGN_EXPONENT = { F64: 12, F32: 9, BF16: 9, F16: 6 };
/** Mantissa bits that are not noise. */
const MANTISSA = 5;

/**
 * Returns the bits of a tensor: the least of what several ways to predict it leave.
 * @param {string} structure how an integer tensor came about, if it did in a way that says more than its values do
 */
export function floorBits(tensor, structure) {
  if (tensor.dtype in SIGN_EXPONENT) return floatBits(tensor);
  if (structure) return STRUCTURES[structure](integersOf(tensor));
  if (tensor.codes) return codeBits(tensor.codes);
  const records = tensor.dtype === 'U8' ? ggmlRecords(tensor.shape.at(-1))[0] : undefined;
  return records && tensor.data.length > 10_000 ? blockBits(tensor.data, records) : planeBits(tensor);
}

/** Entropy given contexts, in bits, with the correction of Miller and Madow for what a sample of this size makes too small. */
export function entropy(symbols, contexts = undefined) {
  const counts = new Map();
  const totals = new Map();
  for (let i = 0; i < symbols.length; i++) {
    const context = contexts ? contexts[i] : 0;
    const key = context * 65536 + symbols[i];
    counts.set(key, (counts.get(key) ?? 0) + 1);
    totals.set(context, (totals.get(context) ?? 0) + 1);
  }
  let bits = ((counts.size - totals.size) / 2) * Math.LOG2E;
  for (const count of counts.values()) bits -= count * Math.log2(count);
  for (const total of totals.values()) bits += total * Math.log2(total);
  return bits;
}

function integersOf({ dtype, data }) {
  const width = DTYPE_BYTES[dtype];
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  return Float64Array.from({ length: data.length / width }, (_, i) =>
    width === 8 ? Number(view.getBigInt64(i * 8, true)) : view.getInt32(i * 4, true),
  );
}

const STRUCTURES = {
  'by index': () => 0,
  values: (x) => entropy(x),
  differences: (x) => entropy(x.subarray(1).map((value, i) => value - x[i])),
  /** log2 of n! */
  permutation: (x) => x.reduce((bits, _, i) => bits + Math.log2(i + 1), 0),
};

/**
 * Exponent and top mantissa bits at their entropy, in an optimizer's states less what rows and columns have in common; sign and the bits below, but those that are nearly always zero, at their
 * length.
 */
function floatBits({ name, dtype, shape, data }) {
  const width = DTYPE_BYTES[dtype];
  const count = data.length / width;
  const modeled = SIGN_EXPONENT[dtype] - 1 + MANTISSA;
  const heads = new Uint16Array(count);
  const usedBelow = new Uint32Array(8 * width);
  let negative = 0;
  for (let i = 0; i < count; i++) {
    const head = data[(i + 1) * width - 2] | (data[(i + 1) * width - 1] << 8);
    negative += head >> 15;
    heads[i] = (head & 0x7fff) >> (15 - modeled);
    let bit = 0;
    while (bit < 8 * width && !((data[i * width + (bit >> 3)] >> (bit & 7)) & 1)) bit++;
    usedBelow[Math.min(bit, 8 * width - 1)]++;
  }
  let zeros = 0;
  for (let seen = usedBelow[0]; seen < count / 1000 && zeros < 8 * width - 1; seen += usedBelow[zeros])
    zeros++;
  const share = negative / count;
  const sign = share && share < 1 ? -share * Math.log2(share) - (1 - share) * Math.log2(1 - share) : 0;
  const below = Math.max(0, 8 * width - 1 - modeled - zeros);
  const symbols = name.startsWith('exp_avg') ? lessScales(heads, shape.at(-1)) : heads;
  return Math.min(entropy(heads), entropy(symbols)) + count * (sign + below);
}

/** Returns symbols less the mean of their row, and then that of their column. */
function lessScales(symbols, columns) {
  const rows = new Float64Array(symbols.length / columns);
  const sums = new Float64Array(columns);
  for (let i = 0; i < symbols.length; i++) rows[Math.floor(i / columns)] += symbols[i] / columns;
  for (let i = 0; i < symbols.length; i++)
    sums[i % columns] += (symbols[i] - rows[Math.floor(i / columns)]) / rows.length;
  return Int32Array.from(
    symbols,
    (x, i) => x - Math.round(rows[Math.floor(i / columns)]) - Math.round(sums[i % columns]) + 2 ** 15,
  );
}

function planeBits({ dtype, data }) {
  const width = DTYPE_BYTES[dtype];
  let bits = 0;
  for (let b = 0; b < width; b++) bits += entropy(data.filter((_, i) => i % width === b));
  return bits;
}

/** Values of symbols: themselves, without a sign, the distance from the middle. */
const VALUES = [(x) => x, (x, half) => x % half, (x, half) => (x < half ? half - 1 - x : x - half)];

function codeBits({ symbols, size, row, group, mantissa }) {
  const ways = [entropy(symbols)];
  if (group) for (const value of VALUES) ways.push(entropy(symbols, contextsOf(symbols, size, group, value)));
  else ways.push(entropy(symbols, grades(symbols, size, row, mantissa)));
  return Math.min(...ways);
}

/**
 * Contexts in groups: the mean of the values before, whether the lowest and highest of them have been seen, and the logarithm of what is left.
 * @param worth one of VALUES. @param levels of groups, in place of means
 */
function contextsOf(symbols, size, group, worth, levels) {
  const out = new Uint32Array(symbols.length);
  const values = Array.from({ length: size }, (_, x) => worth(x, size / 2));
  const top = Math.max(...values);
  let [sum, low, high] = [0, 0, 0];
  for (let i = 0; i < symbols.length; i++) {
    const position = i % group;
    if (!position) [sum, low, high] = [0, 0, 0];
    const mean = position ? 1 + Math.floor((32 * sum) / (position * (top + 1))) : 0;
    const left = Math.min(7, Math.floor(Math.log2(group - position)));
    out[i] = ((left * 2 + low) * 2 + high) * 33 + (levels ? levels[Math.floor(i / group)] : mean);
    const x = values[symbols[i]];
    sum += x;
    if (!x) low = 1;
    if (x === top) high = 1;
  }
  return out;
}

/** Contexts by rows and columns: their mean logarithm of magnitudes, in eighths and quarters of an octave. */
function grades(symbols, size, row, mantissa) {
  const half = size / 2;
  const log = (x) => (mantissa ? (x % half) / 2 ** mantissa : Math.log2(Math.abs(x - half) + 0.5));
  const rows = new Float64Array(symbols.length / row);
  const columns = new Float64Array(row);
  for (let i = 0; i < symbols.length; i++) {
    const x = log(symbols[i]);
    rows[Math.floor(i / row)] += x / row;
    columns[i % row] += x / rows.length;
  }
  return Uint32Array.from(
    symbols,
    (_, i) => Math.round(rows[Math.floor(i / row)] * 8 + 500) * 1000 + Math.round(columns[i % row] * 4 + 500),
  );
}

/** Blocks of ggml: codes given their scales or the codes before, and every other byte by its place. */
function blockBits(data, records) {
  const count = data.length / records.bytes;
  let bits = 0;
  for (const { offset, length } of records.heads) {
    const own = new Uint8Array(count * length);
    for (let i = 0; i < count; i++)
      own.set(data.subarray(i * records.bytes + offset, i * records.bytes + offset + length), i * length);
    bits += entropy(own);
  }
  const { symbols: n, low, high, group } = records;
  const symbols = new Uint8Array(count * n);
  for (let j = 0; j < n; j++) {
    const parts = [low, ...(high ? [high] : [])].map((part) => ({
      ...placeOf(part, j),
      mask: 2 ** part.width - 1,
    }));
    for (let i = 0; i < count; i++) {
      const [a, b] = parts.map(({ byte, shift, mask }) => (data[i * records.bytes + byte] >> shift) & mask);
      symbols[i * n + j] = a | ((b ?? 0) << low.width);
    }
  }
  const size = 2 ** symbolBits(records);
  const shifted = size === 256 ? symbols.map((x) => x ^ 128) : symbols; // of two's complement
  const ways = [entropy(shifted)];
  for (const value of VALUES) ways.push(entropy(shifted, contextsOf(shifted, size, group, value)));
  if (records.levels) {
    const { groups, of } = LEVELS[records.levels - 1];
    const levels = new Uint8Array(count * groups);
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    for (let i = 0; i < count; i++) of(view, i * records.bytes, symbolBits(records), levels, i * groups);
    ways.push(entropy(shifted, contextsOf(shifted, size, group, VALUES[0], levels)));
  }
  return bits + Math.min(...ways);
}
