import { sumOf } from '../../core/sum.js';
import type { IndexTables } from '../../wasm/indices.js';
import { ArithmeticDecoder, ArithmeticEncoder, Bit, type BitCoder, IntegerModel } from './arithmetic.js';
import { CONTEXTS, MAX_INDEX } from './levels.js';
import { ESCAPE_BITS, INDICES, MAGNITUDE_TOKENS, magnitudeToken, SCALE, TABLES, TOKENS } from './tokens.js';

// A table is stored as logarithms of the frequencies of magnitude tokens, in eighths of an octave; both signs are equally
// probable. Tables of neighboring contexts are similar, so each is coded as the difference from the one before.
// spec/wpk-v1.md, "Tables".

const STEPS_PER_OCTAVE = 8;
const LARGEST_LOG = 12 * STEPS_PER_OCTAVE;

/** 2^(i / 8) in 2^-20; written out, because engines may differ in the last bit of a power. */
const POWERS = [1048576, 1143480, 1246974, 1359834, 1482910, 1617125, 1763487, 1923096] as const;

/** A table in the form in which it is stored. */
interface LogTable {
  /** One logarithm per magnitude token from 0 on; frequencies are proportional to 2^(log / 8). */
  readonly logs: readonly number[];
  /** Logarithm of the escape, which replaces all other tokens; undefined if none of them occurs. */
  readonly escapeLog: number | undefined;
}

// ---- as bytes ----------------------------------------------------------------------------------------------------------------

/** Codes tables: the adaptive models, and the last table of each quantizer. */
class TableCoder {
  private readonly present = [new Bit(), new Bit()];
  private readonly escape = new Bit();
  private readonly size = new IntegerModel();
  private readonly escapeLog = new IntegerModel();
  private readonly logs = Array.from({ length: 5 }, () => new IntegerModel());
  private readonly before: LogTable[] = [];
  private wasPresent = 0;
  constructor(private readonly coder: BitCoder) {}

  /** Encodes the next table of `quantizer`, or decodes it and ignores `table`. @throws {RangeError} for a value out of range. */
  code(quantizer: number, table: LogTable | undefined): LogTable | undefined {
    const present = this.coder.code(table ? 1 : 0, this.present[this.wasPresent]!);
    this.wasPresent = present;
    if (!present) return undefined;
    const before = this.before[quantizer]?.logs ?? [];
    const size = before.length + this.size.code(this.coder, (table?.logs.length ?? 0) - before.length);
    if (size < 1 || size > MAGNITUDE_TOKENS)
      throw new RangeError(`expected a table of 1 to ${MAGNITUDE_TOKENS} magnitudes, found ${size}`);
    const logs: number[] = [];
    for (let m = 0; m < size; m++) {
      const expected = predict(before, logs, m);
      const model = this.logs[Math.min(m, this.logs.length - 1)]!;
      logs.push(inBounds(expected + model.code(this.coder, (table?.logs[m] ?? 0) - expected)));
    }
    const coded = { logs, escapeLog: this.codeEscape(logs[size - 1]!, table) };
    this.before[quantizer] = coded;
    return coded;
  }

  private codeEscape(last: number, table: LogTable | undefined): number | undefined {
    if (!this.coder.code(table?.escapeLog === undefined ? 0 : 1, this.escape)) return undefined;
    return inBounds(last + this.escapeLog.code(this.coder, (table?.escapeLog ?? 0) - last));
  }
}

function inBounds(log: number): number {
  if (log < 0 || log > LARGEST_LOG)
    throw new RangeError(`frequency logarithm ${log} is not in 0..${LARGEST_LOG}`);
  return log;
}

/** Predicts log `m`: the table falls as the one before does there, or else continues its last slope. */
function predict(before: readonly number[], logs: readonly number[], m: number): number {
  if (m === 0) return before[0] ?? LARGEST_LOG - STEPS_PER_OCTAVE;
  const last = logs[m - 1]!;
  const slope = m < before.length ? before[m]! - before[m - 1]! : m > 1 ? last - logs[m - 2]! : 0;
  return Math.min(LARGEST_LOG, Math.max(0, last + slope));
}

/** Shrinking coefficients are stored in units of 1 / 128 step. */
const SHRINK_UNITS = 128;

/** Rounds shrinking coefficients to values that a file can store, from -1 to 127 / 128; those of index 0 are 0. */
export function storableShrinks(shrinks: Float32Array): Float32Array {
  return shrinks.map((shrink, i) =>
    i % 4
      ? Math.min(SHRINK_UNITS - 1, Math.max(-SHRINK_UNITS, Math.round(shrink * SHRINK_UNITS))) / SHRINK_UNITS
      : 0,
  );
}

function codeShrinks(coder: BitCoder, shrinks: Float32Array, present: (table: number) => boolean): void {
  if (!coder.codeEven(shrinks.some((shrink) => shrink !== 0) ? 1 : 0)) return;
  const models = Array.from({ length: 8 }, () => new IntegerModel());
  const before = new Int16Array(8);
  for (let i = 0; i < shrinks.length; i++) {
    if (i % 4 === 0 || !present(i >> 2)) continue;
    const kind = i % 8;
    before[kind]! += models[kind]!.code(coder, shrinks[i]! * SHRINK_UNITS - before[kind]!);
    if (before[kind]! < -SHRINK_UNITS || before[kind]! >= SHRINK_UNITS)
      throw new RangeError(`shrinking by ${before[kind]} / ${SHRINK_UNITS} steps is out of range`);
    shrinks[i] = before[kind]! / SHRINK_UNITS;
  }
}

/**
 * Reads the entropy coding tables of a file.
 * @throws {RangeError} for a value out of range, and for extra bytes.
 */
export function readTables(bytes: Uint8Array): IndexTables {
  const coder = new ArithmeticDecoder(bytes);
  const tables = new TableCoder(coder);
  const frequencies = new Uint16Array(TABLES * TOKENS);
  const present = Array.from({ length: TABLES }, (_, t) => {
    const table = tables.code(t % 2, undefined);
    if (table) frequencies.set(toFrequencies(table), t * TOKENS);
    return table !== undefined;
  });
  const shrinks = new Float32Array(CONTEXTS * 2 * 4);
  codeShrinks(coder, shrinks, (t) => present[t]!);
  coder.finish();
  return { frequencies, shrinks };
}

/**
 * Fits tables to `counts` of indices (same layout as prices) and serializes them with `shrinks`, rounded as
 * `storableShrinks` does. Contexts without counts get no table.
 */
export function writeTables(counts: ArrayLike<number>, shrinks: Float32Array): Uint8Array {
  const coder = new ArithmeticEncoder();
  const tables = new TableCoder(coder);
  const before: LogTable[] = [];
  const present = Array.from({ length: TABLES }, (_, t) => {
    const table = fitTable(tokenCounts(counts, t), before[t % 2]?.logs ?? []);
    tables.code(t % 2, table);
    if (table) before[t % 2] = table;
    return table !== undefined;
  });
  codeShrinks(coder, storableShrinks(shrinks), (t) => present[t]!);
  return coder.finish();
}

// ---- from logarithms to frequencies ------------------------------------------------------------------------------------------

/** Converts logarithms to frequencies of tokens from -64 (escape) to 63: at least 1 for each token of the table; they sum to SCALE. */
function toFrequencies({ logs, escapeLog }: LogTable): Uint16Array {
  const weights = new Float64Array(TOKENS);
  logs.forEach((log, m) => {
    weights[MAGNITUDE_TOKENS + m] = weights[MAGNITUDE_TOKENS - m] = weightOf(log);
  });
  // a single token would get all slots, more than its field can store: add the escape
  if (escapeLog !== undefined || logs.length === 1) weights[0] = weightOf(escapeLog ?? 0);
  const total = sumOf(weights, (weight) => weight);
  const frequencies = Uint16Array.from(weights, (weight) =>
    weight ? Math.max(1, Math.floor((weight * SCALE) / total + 0.5)) : 0,
  );
  let excess = sumOf(frequencies, (frequency) => frequency) - SCALE;
  for (; excess !== 0; excess -= Math.sign(excess)) {
    const largest = frequencies.indexOf(Math.max(...frequencies));
    frequencies[largest]! -= Math.sign(excess);
  }
  return frequencies;
}

function weightOf(log: number): number {
  return POWERS[log % STEPS_PER_OCTAVE]! * 2 ** Math.floor(log / STEPS_PER_OCTAVE);
}

// ---- from counts to logarithms -----------------------------------------------------------------------------------------------

function tokenCounts(counts: ArrayLike<number>, table: number): Float64Array {
  const sums = new Float64Array(MAGNITUDE_TOKENS);
  for (let i = 0; i < INDICES; i++)
    sums[magnitudeToken(Math.abs(i - MAX_INDEX))]! += counts[table * INDICES + i]!;
  return sums;
}

/** Finds approximately the table with the fewest bits, counting the table itself and the tokens coded with it. Undefined if all counts are 0. */
function fitTable(counts: Float64Array, before: readonly number[]): LogTable | undefined {
  const total = sumOf(counts, (count) => count);
  if (total === 0) return undefined;
  let size = counts.findLastIndex((count) => count > 0) + 1;
  let escapes = 0;
  // each magnitude costs at least two of 4096 slots, and some bits in the table
  for (
    ;
    size > 1 && counts[size - 1]! * (ESCAPE_BITS + 1) < LOG_BITS + (total * 2 * Math.LOG2E) / SCALE;
    size--
  )
    escapes += counts[size - 1]!;
  const logs: number[] = [];
  for (let m = 0; m < size; m++)
    logs.push(nearLog(counts[m]!, m > 0 ? 2 : 1, total, predict(before, logs, m)));
  return { logs, escapeLog: escapes ? nearLog(escapes, 1, total, 0) : undefined };
}

/** Approximate bits to store one logarithm. */
const LOG_BITS = 3;

/** Returns the best log for `tokens` tokens that share a count: moved towards the prediction if that saves more bits than it costs. */
function nearLog(count: number, tokens: number, total: number, expected: number): number {
  const ideal = STEPS_PER_OCTAVE * Math.log2(Math.max(1, ((count / total) * SCALE) / tokens));
  const nearest = Math.min(LARGEST_LOG, Math.round(ideal));
  let best = nearest;
  let lowest = Infinity;
  const step = Math.sign(expected - nearest) || 1;
  for (let log = nearest; ; log += step) {
    const error = ((log - ideal) * Math.LN2) / STEPS_PER_OCTAVE;
    const distance = Math.abs(log - expected);
    const cost = (count * error * error * Math.LOG2E) / 2 + (distance ? 2 + 2 * Math.log2(distance) : 1);
    if (cost < lowest) {
      lowest = cost;
      best = log;
    }
    if (log === expected) return best;
  }
}
