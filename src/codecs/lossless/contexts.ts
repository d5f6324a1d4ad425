import { DTYPE_BYTES, type Dtype } from '../../core/dtype.js';
import {
  BLOCK_BYTES,
  CONTEXTS,
  type LosslessKernels,
  MAX_CLASSES,
  MAX_CONTEXT_GROUP,
  MAX_GRADED_COLUMNS,
  MAX_LANES,
  MAX_QUEUED,
  MAX_RECORD_SYMBOLS,
  type RecordPlace,
} from '../../wasm/lossless.js';
import { cluster, type SparseCounts, sparse, totals } from './clusters.js';
import { type FrequencyTable, normalize, readTable, writeTable } from './frequencies.js';
import { LEVELS } from './levels.js';
import { placeOf, type Records, readRecords, symbolBits, writeRecords } from './records.js';
import { chooseFactors, readFactors, scaleTable, writeFactors } from './relative.js';
import {
  countBytes,
  decodeBytes,
  decodePart,
  decodeStream,
  encodeBytes,
  encodePart,
  encodeStream,
} from './stream.js';

// Symbols of quantized weights, each with the table of its context: what came before it in its group. spec/wpk-v1.md, "Contexts".

/** How groups lie among the symbols of a tensor, and what is remembered of a group. */
export interface Walk {
  /** Symbols per group, at most 256. */
  readonly group: number;
  /** Consecutive symbols that belong to one lane, then as many to the next. Each lane has its own groups. */
  readonly run: number;
  readonly lanes: number;
  /** What the value of a symbol is: see VALUES. */
  readonly kind: number;
  /** The largest value. */
  readonly top: number;
  /** Where groups have levels, that are in the contexts instead of means: see LEVELS; 0 if they have none; GRADED. */
  readonly levels: number;
  /** If GRADED, where groups are rows. */
  readonly grades?: Grades | undefined;
}

/** Grades in place of all other contexts. */
export interface Grades {
  /** Of every row that the block has symbols of, 0 to 32. */
  readonly rows: Uint8Array;
  /** Of every position in a row, 0 to 7. */
  readonly columns: Uint8Array;
}
/** The number in `levels` of walks with grades, which the payload lists. */
export const GRADED = LEVELS.length + 1;
const MAX_GRADE = { rows: 32, columns: 7 };

/** The value of a symbol, by kind. @param half half the number of symbols. */
export const VALUES: readonly ((symbol: number, half: number) => number)[] = [
  (symbol) => symbol,
  (symbol, half) => symbol % half, // below a sign
  (symbol, half) => (symbol < half ? half - 1 - symbol : symbol - half), // distance from the middle, or of two's complement from the ends
];

const WALK_BYTES = 11;
const RECIPROCAL_BITS = 40n;
const MEANS = 33;
/** Shorter rows would have more grades than there is room for. */
const MIN_GRADED_COLUMNS = 16;
/** A class of more symbols has several streams. */
const MAX_PART = BLOCK_BYTES;

/** A part of a tensor, in bytes. */
export interface ByteBlock {
  readonly dtype: Dtype;
  /** Elements. */
  readonly first: number;
  readonly count: number;
}

/** Returns where the whole records of a block are, if records begin at the tensor's first byte. */
export function placeRecords(block: ByteBlock, recordBytes: number): RecordPlace {
  const width = DTYPE_BYTES[block.dtype];
  const length = block.count * width;
  const start = Math.min(length, (recordBytes - ((block.first * width) % recordBytes)) % recordBytes);
  return { start, records: Math.floor((length - start) / recordBytes), recordBytes };
}

/** Gives the kernels all that they need to find symbols and contexts. Heads are in `elements`. */
export function prepare(kernels: LosslessKernels, records: Records, walk: Walk, block: ByteBlock): void {
  const { low, high, symbols, bytes } = records;
  const { places, updates, buckets, reciprocals } = kernels.buffers;
  for (let i = 0; i < symbols; i++)
    for (const [part, own] of [low, high ?? low].entries()) {
      const { byte, shift } = placeOf(own, i);
      places[2 * i + part] = byte | (shift << 16);
    }
  const half = 2 ** (symbolBits(records) - 1);
  for (let symbol = 0; symbol < 2 * half; symbol++) {
    const value = VALUES[walk.kind]!(symbol, half);
    updates[symbol] = value + 2 ** 16 + (value >= walk.top ? 2 ** 30 : 0) + (value === 0 ? 2 ** 31 : 0);
  }
  const { group, run, lanes, top, grades } = walk;
  if (grades) {
    updates.fill(0);
    buckets.set(grades.columns);
    kernels.buffers.levels.set(grades.rows);
  } else {
    for (let position = 0; position < group; position++)
      buckets[position] = Math.min(7, 31 - Math.clz32(group - position));
    for (let seen = 1; seen <= group; seen++) {
      const divisor = BigInt(seen * (top + 1));
      reciprocals[seen] = ((1n << RECIPROCAL_BITS) + divisor - 1n) / divisor;
    }
    if (walk.levels) fillLevels(kernels, records, walk, block);
  }
  const first = firstSymbol(records, block);
  kernels.setRecords(bytes, symbols, low.width, high?.width ?? 0);
  kernels.setWalk(
    { group, run, lanes, leveled: walk.levels > 0 },
    first % run,
    Math.floor(first / run) % lanes,
    (run * (Math.floor(first / (run * lanes)) % (group / run))) % group,
  );
}

/** Returns the index in the tensor of the first symbol of a block. */
export function firstSymbol({ bytes, symbols }: Records, block: ByteBlock): number {
  return ((block.first * DTYPE_BYTES[block.dtype] + placeRecords(block, bytes).start) / bytes) * symbols;
}

/** Returns the number of rows of `group` symbols that a block has symbols of. */
export function rowsOf(records: Records, group: number, block: ByteBlock): number {
  const count = placeRecords(block, records.bytes).records * records.symbols;
  return Math.ceil(((firstSymbol(records, block) % group) + count) / group);
}

function fillLevels(kernels: LosslessKernels, records: Records, walk: Walk, block: ByteBlock): void {
  const { elements, levels } = kernels.buffers;
  const { start, records: count } = placeRecords(block, records.bytes);
  const { groups, of } = LEVELS[walk.levels - 1]!;
  const view = new DataView(elements.buffer, elements.byteOffset + start, count * records.bytes);
  for (let i = 0; i < count; i++) of(view, i * records.bytes, symbolBits(records), levels, i * groups);
}

/** Contexts in an order in which neighbors are alike: by mean, then by extremes and position. */
const ORDER = Uint16Array.from(
  { length: CONTEXTS },
  (_, i) => (i % (CONTEXTS / MEANS)) * MEANS + Math.floor(i / (CONTEXTS / MEANS)),
);

/** Counts the symbols of records by context. Call {@link prepare} first. */
export function countByContext(kernels: LosslessKernels, records: Records, place: RecordPlace): SparseCounts {
  return sparse(kernels.countContexts(place), ORDER, symbolBits(records));
}

/** Encodes the kernels' `elements`. @returns the payload in pieces. */
export function encodeContexts(
  kernels: LosslessKernels,
  records: Records,
  walk: Walk,
  block: ByteBlock,
): Uint8Array[] {
  prepare(kernels, records, walk, block);
  const place = placeRecords(block, records.bytes);
  const found = countByContext(kernels, records, place);
  const { classOf, classes } = cluster(found, symbolBits(records));
  const map = kernels.buffers.classes;
  map.fill(classOf[0]!);
  const sizes: number[] = new Array(classes).fill(0);
  found.contexts.forEach((context, i) => {
    map[context] = classOf[i]!;
    for (let j = found.starts[i]!; j < found.starts[i + 1]!; j++) sizes[classOf[i]!]! += found.counts[j]!;
  });
  const base = normalize(totals(found, symbolBits(records)));
  const starts = startsOf(sizes);
  kernels.splitContexts(place, starts);
  const { elements, queues } = kernels.buffers;
  const length = block.count * DTYPE_BYTES[block.dtype];
  const end = place.start + place.records * records.bytes;
  return [
    writeRecords(records),
    writeWalk(walk),
    elements.slice(0, place.start),
    elements.slice(end, length),
    ...records.heads.flatMap(({ offset, length }) =>
      encodePart(kernels, place.records * length, kernels.gatherBytes(place, offset, length)),
    ),
    ...(walk.grades
      ? [walk.grades.rows, walk.grades.columns].flatMap((own) => encodeBytes(kernels, own))
      : []),
    Uint8Array.of(classes),
    ...encodeBytes(kernels, map),
    writeTable(base),
    ...sizes.flatMap((size, i) => encodeClass(kernels, base, queues.subarray(starts[i]!, starts[i]! + size))),
  ];
}

/** Encodes a class: its number of symbols, then for each 2^20 of them, or the rest, length, relative table and stream. */
function encodeClass(kernels: LosslessKernels, base: FrequencyTable, queue: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = [uint32(queue.length)];
  for (let at = 0; at < queue.length; at += MAX_PART) {
    const part = queue.subarray(at, at + MAX_PART);
    kernels.buffers.symbols.set(part);
    const factors = chooseFactors(base, countBytes(part));
    const table = writeFactors(factors);
    const stream = encodeStream(kernels, part.length, scaleTable(base, factors), 256);
    pieces.push(uint32(table.length + stream.length), table, stream.slice());
  }
  return pieces;
}

const uint32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);

/** Decodes a view of the kernels' `payload` to `elements`. @throws {RangeError} when malformed. */
export function decodeContexts(kernels: LosslessKernels, payload: Uint8Array, block: ByteBlock): void {
  const { elements, classes, queues } = kernels.buffers;
  const records = readRecords(payload);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const walk = readWalk(view, records.lengthBytes, records);
  const place = placeRecords(block, records.bytes);
  const total = place.records * records.symbols;
  if (total > MAX_QUEUED) throw new RangeError('too many symbols in a block');
  const length = block.count * DTYPE_BYTES[block.dtype];
  const end = place.start + place.records * records.bytes;
  let next = records.lengthBytes + WALK_BYTES;
  const edges = payload.subarray(next, next + place.start + length - end);
  elements.fill(0, 0, length);
  elements.set(edges.subarray(0, place.start));
  elements.set(edges.subarray(place.start), end);
  next += place.start + length - end;
  const headsFrom = next;
  next = records.heads.reduce((from, head) => skipPart(view, from, place.records * head.length), next);
  let grades: Grades | undefined;
  if (walk.levels === GRADED) {
    grades = {
      rows: new Uint8Array(rowsOf(records, walk.group, block)),
      columns: new Uint8Array(walk.group),
    };
    next = decodeGrades(kernels, payload, next, grades.rows, MAX_GRADE.rows);
    next = decodeGrades(kernels, payload, next, grades.columns, MAX_GRADE.columns);
  }
  const symbolsFrom = next;
  if (symbolsFrom >= payload.length) throw new RangeError('classes are missing');
  const classCount = payload[symbolsFrom]!;
  let at = decodeBytes(kernels, payload, symbolsFrom + 1, classes);
  if (classCount > MAX_CLASSES || classes.some((own) => own >= classCount))
    throw new RangeError('contexts of no class');
  const { lengthBytes, ...base } = readTable(payload.subarray(at), 2 ** symbolBits(records));
  at += lengthBytes;
  const [starts, ends]: [number[], number[]] = [[], []];
  let filled = 0;
  for (let i = 0; i < classCount; i++) {
    if (at + 4 > payload.length) throw new RangeError('a class is missing');
    const size = view.getUint32(at, true);
    at += 4;
    if (size > total - filled) throw new RangeError('more symbols than the records have');
    starts.push(filled);
    for (let left = size; left > 0; left -= MAX_PART) {
      const from = filled;
      const part = Math.min(left, MAX_PART);
      const body = at + 4;
      at = skipPart(view, at, payload.length);
      if (at > payload.length) throw new RangeError('class longer than the payload');
      const coded = payload.subarray(body, at);
      const { factors, lengthBytes } = readFactors(coded, base);
      const stream = coded.subarray(lengthBytes);
      decodeStream(kernels, scaleTable(base, factors), part, 0, stream, (first, count) => {
        queues.set(kernels.buffers.symbols.subarray(0, count), from + first);
      });
      filled += part;
    }
    ends.push(filled);
  }
  if (filled !== total || at !== payload.length)
    throw new RangeError('symbols or bytes that the records do not have');
  next = headsFrom;
  for (const { offset, length } of records.heads)
    next = decodePart(kernels, payload, next, place.records * length, (first, count) =>
      kernels.scatterBytes(place, offset, length, first, count),
    );
  prepare(kernels, records, { ...walk, grades }, block);
  if (!kernels.mergeContexts(place, starts, ends)) throw new RangeError('symbols of another class');
}

/** Decodes a part to `out`. @returns the offset after it. @throws {RangeError} for a grade over `max`. */
function decodeGrades(
  kernels: LosslessKernels,
  payload: Uint8Array,
  start: number,
  out: Uint8Array,
  max: number,
): number {
  const next = decodeBytes(kernels, payload, start, out);
  if (out.some((grade) => grade > max)) throw new RangeError('grade out of range');
  return next;
}

/** Returns the offset after a part, without decoding it. */
function skipPart(view: DataView, start: number, count: number): number {
  if (start + 4 > view.byteLength) throw new RangeError('missing part of the payload');
  const length = view.getUint32(start, true);
  if (length > count) throw new RangeError('part longer than its bytes');
  return start + 4 + length;
}

const startsOf = (sizes: readonly number[]) => {
  let next = 0;
  return sizes.map((size) => {
    next += size;
    return next - size;
  });
};

function writeWalk({ kind, top, group, run, lanes, levels }: Walk): Uint8Array {
  const view = new DataView(new ArrayBuffer(WALK_BYTES));
  view.setUint8(0, kind);
  view.setUint8(1, top);
  view.setUint16(2, group, true);
  view.setUint16(4, run, true);
  view.setUint32(6, lanes, true);
  view.setUint8(10, levels);
  return new Uint8Array(view.buffer);
}

function readWalk(view: DataView, start: number, { bytes, symbols }: Records): Walk {
  if (start + WALK_BYTES > view.byteLength) throw new RangeError('groups are not described');
  const walk = {
    kind: view.getUint8(start),
    top: view.getUint8(start + 1),
    group: view.getUint16(start + 2, true),
    run: view.getUint16(start + 4, true),
    lanes: view.getUint32(start + 6, true),
    levels: view.getUint8(start + 10),
  };
  const { kind, group, run, lanes, levels } = walk;
  if (
    kind >= VALUES.length ||
    group < 1 ||
    group > (levels === GRADED ? MAX_GRADED_COLUMNS : MAX_CONTEXT_GROUP) ||
    run < 1 ||
    group % run ||
    lanes < 1 ||
    lanes > MAX_LANES ||
    symbols > MAX_RECORD_SYMBOLS
  )
    throw new RangeError('invalid groups of symbols');
  if (levels === GRADED) {
    if (group < MIN_GRADED_COLUMNS || run > 1 || lanes > 1) throw new RangeError('invalid grades');
  } else if (levels) {
    const { groups, minBytes } = LEVELS[levels - 1] ?? { groups: 0, minBytes: 0 };
    if (!groups || bytes < minBytes || lanes > 1 || groups * group !== symbols || group < 16)
      throw new RangeError('invalid levels of groups');
  }
  return walk;
}
