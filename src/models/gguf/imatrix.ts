import { type ByteSource, readInto } from '../../core/byte-source.js';
import { elementCount } from '../../core/dtype.js';
import { InputError } from '../../core/errors.js';
import { quote } from '../../core/json.js';
import { POINTER_PREFIX_BYTES, refusePointer } from '../../core/lfs-pointer.js';
import { Cursor } from './cursor.js';
import { type GgufHeader, type GgufTensor, isGguf, readGgufHeader } from './header.js';
import { aligned, type GgufEntry, type GgufTensorEntry, writeGgufHeader } from './header-writer.js';
import { typeNamed } from './types.js';

// Importance matrices as llama.cpp's tools write and read them: llama-imatrix, and llama-quantize --imatrix.

/** The squares of the inputs of one tensor. */
export interface ImatrixSums {
  /** Sums of squares of each input, of the same number of inputs for each count; or, with one count, of several matrices. */
  readonly sums: Float32Array;
  /** How many squares were summed: tokens, or chunks of them in a `.dat`. One for all, or one per expert; 0 if nothing is known. */
  readonly counts: readonly number[];
}

/** A tensor's entry. */
export interface ImatrixEntry {
  /** Number of sums. */
  readonly size: number;
  /** Number of counts, of which the size is a multiple. */
  readonly counts: number;
  /** Returns its numbers, finite and not negative. @throws {InputError} when those in the file are others. */
  read(): Promise<ImatrixSums>;
}

/** An importance matrix: the mean square of the inputs of a model's tensors. */
export interface Imatrix {
  /** By the names of tensors in GGUF, such as `blk.0.attn_q.weight`. */
  readonly entries: ReadonlyMap<string, ImatrixEntry>;
  /** Number of chunks of text that it was computed on. */
  readonly chunkCount: number;
  /** Tokens per chunk; 0 where the file does not say, as a `.dat`. */
  readonly chunkSize: number;
  /** What the texts were called. */
  readonly datasets: readonly string[];
}

/** The formats of llama.cpp: GGUF, the current one, and the older `.dat`. */
export type ImatrixFormat = 'gguf' | 'dat';

const KEYS = {
  type: 'general.type',
  datasets: 'imatrix.datasets',
  chunkCount: 'imatrix.chunk_count',
  chunkSize: 'imatrix.chunk_size',
} as const;
const SUMS = '.in_sum2';
const COUNTS = '.counts';

/** Far above real files, whose models have several thousand tensors. */
const MAX_ENTRIES = 65_536;
const MAX_NAME_BYTES = 1024;
const MAX_TEXT_BYTES = 2 ** 16;

/**
 * Reads an importance matrix in either format. Numbers are read when they are asked for, from the source, which stays the caller's.
 * @throws {InputError} for a file that is none, or is truncated or damaged.
 */
export async function readImatrix(source: ByteSource): Promise<Imatrix> {
  const prefix = await source.read(0, Math.min(POINTER_PREFIX_BYTES, source.byteLength));
  refusePointer(prefix, source.name);
  return isGguf(prefix) ? readGguf(source) : readDat(source);
}

async function readGguf(source: ByteSource): Promise<Imatrix> {
  const header = await readGgufHeader(source);
  const file = source.name;
  const type = header.metadata.get(KEYS.type) ?? 'model';
  if (type !== 'imatrix')
    throw new InputError(`not an importance matrix: general.type is ${quote(type)}`, { file });
  const byName = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
  const entries = new Map<string, ImatrixEntry>();
  for (const { name } of header.tensors) {
    const of = [SUMS, COUNTS].find((ending) => name.endsWith(ending));
    if (!of) continue;
    const own = name.slice(0, -of.length);
    if (!entries.has(own))
      entries.set(own, entryOf(own, byName.get(own + SUMS), byName.get(own + COUNTS), source));
  }
  if (!entries.size) throw new InputError('has no entries', { file });
  return {
    entries,
    chunkCount: countIn(header, KEYS.chunkCount, file),
    chunkSize: countIn(header, KEYS.chunkSize, file),
    datasets: textsIn(header, KEYS.datasets, file),
  };
}

function countIn({ metadata }: GgufHeader, key: string, file: string): number {
  const value = metadata.get(key);
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new InputError(`${key}: expected a count, found ${quote(value)}`, { file });
}

function textsIn({ metadata }: GgufHeader, key: string, file: string): string[] {
  const value = metadata.get(key);
  if (Array.isArray(value) && value.every((text) => typeof text === 'string')) return value;
  throw new InputError(`${key}: expected strings, found ${quote(value)}`, { file });
}

function entryOf(
  tensor: string,
  sums: GgufTensor | undefined,
  counts: GgufTensor | undefined,
  source: ByteSource,
): ImatrixEntry {
  const place = { file: source.name, tensor };
  if (!sums || !counts)
    throw new InputError(`expected sums and counts, found only ${sums ? 'sums' : 'counts'}`, place);
  for (const { type } of [sums, counts])
    if (type.name !== 'F32') throw new InputError(`expected numbers in F32, found ${type.name}`, place);
  const [size, groups] = [elementCount(sums.shape), elementCount(counts.shape)];
  if (!size || !groups || size % groups)
    throw new InputError(`expected sums for each count, found ${size} for ${groups}`, place);
  return {
    size,
    counts: groups,
    read: async () => ({
      sums: await readFloats(source, sums.start, size, tensor),
      counts: [...(await readFloats(source, counts.start, groups, tensor))].map(Math.round),
    }),
  };
}

async function readDat(source: ByteSource): Promise<Imatrix> {
  const cursor = new Cursor(source, source.byteLength);
  const int = () => cursor.scalar(4, (view, at) => view.getInt32(at, true));
  const text = async (maxBytes: number) => {
    const length = await int();
    if (length < 0 || length > maxBytes)
      cursor.fail(`expected a string of at most ${maxBytes} bytes, found ${length}`);
    return cursor.scalar(length, (view, at) =>
      new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at, length)),
    );
  };
  const count = await int();
  if (count < 1 || count > MAX_ENTRIES)
    cursor.fail(`not an importance matrix: expected 1 to ${MAX_ENTRIES} entries, found ${count}`);
  const entries = new Map<string, ImatrixEntry>();
  for (let i = 0; i < count; i++) {
    const name = await text(MAX_NAME_BYTES);
    if (!name || entries.has(name))
      cursor.fail(name ? `duplicate entry ${quote(name)}` : 'entry without a name');
    const chunks = await int();
    const size = await int();
    if (chunks < 0 || size < 1) cursor.fail(`${name}: expected values, found ${size} of ${chunks} chunks`);
    const { position } = cursor;
    cursor.skip(size * 4);
    // files of the first versions have no number of chunks, and means for sums
    const counts = [chunks || 1];
    const read = async () => ({ sums: await readFloats(source, position, size, name), counts });
    entries.set(name, { size, counts: 1, read });
  }
  const isEnd = () => cursor.position === source.byteLength;
  const chunkCount = isEnd() ? 0 : Math.max(0, await int());
  const dataset = isEnd() ? '' : await text(MAX_TEXT_BYTES);
  if (!isEnd())
    cursor.fail(`expected the end of the file, found ${source.byteLength - cursor.position} more bytes`);
  return { entries, chunkCount, chunkSize: 0, datasets: dataset ? [dataset] : [] };
}

/** Reads numbers that are sums of squares, or counts. @throws {InputError} for others. */
async function readFloats(
  source: ByteSource,
  start: number,
  length: number,
  tensor: string,
): Promise<Float32Array> {
  const values = new Float32Array(length);
  await readInto(source, new Uint8Array(values.buffer), start);
  const wrong = values.findIndex((value) => !(value >= 0 && value < Number.POSITIVE_INFINITY));
  if (wrong < 0) return values;
  const place = { file: source.name, tensor, start: start + wrong * 4, end: start + wrong * 4 + 4 };
  throw new InputError(`expected a finite sum of squares or a count, found ${values[wrong]}`, place);
}

/** Yields the bytes of a file, one entry after another. Entries are sorted by name, as llama.cpp does. */
export function writeImatrix(imatrix: Imatrix, format: ImatrixFormat): AsyncGenerator<Uint8Array, void> {
  const sorted = [...imatrix.entries].sort(([a], [b]) => (a < b ? -1 : 1));
  return format === 'gguf' ? gguf(imatrix, sorted) : dat(imatrix, sorted);
}

type NamedEntry = readonly [name: string, entry: ImatrixEntry];

async function* gguf(
  { chunkCount, chunkSize, datasets }: Imatrix,
  named: readonly NamedEntry[],
): AsyncGenerator<Uint8Array, void> {
  const metadata: GgufEntry[] = [
    { key: KEYS.type, type: 'string', value: 'imatrix' },
    { key: KEYS.datasets, type: 'string', value: datasets },
    { key: KEYS.chunkCount, type: 'uint32', value: chunkCount },
    // a reader divides by it
    { key: KEYS.chunkSize, type: 'uint32', value: Math.max(1, chunkSize) },
  ];
  const type = typeNamed('F32');
  const tensors = named.flatMap(([name, { size, counts }]): GgufTensorEntry[] => [
    { name: name + SUMS, type, shape: [...rowsOf(counts), size / counts], lengthBytes: size * 4 },
    { name: name + COUNTS, type, shape: [...rowsOf(counts), 1], lengthBytes: counts * 4 },
  ]);
  yield writeGgufHeader(metadata, tensors);
  for (const [, entry] of named) {
    const { sums, counts } = await entry.read();
    for (const values of [sums, Float32Array.from(counts)]) {
      const bytes = new Uint8Array(aligned(values.byteLength));
      bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      yield bytes;
    }
  }
}

/** llama.cpp leaves out a dimension of 1. */
const rowsOf = (counts: number) => (counts > 1 ? [counts] : []);

/** The older format has one number of chunks per entry, and sums as if a chunk were one token. */
async function* dat(
  { chunkCount, chunkSize, datasets }: Imatrix,
  named: readonly NamedEntry[],
): AsyncGenerator<Uint8Array, void> {
  yield int32(named.length);
  for (const [name, { size, read }] of named) {
    const { sums, counts } = await read();
    const chunks = Math.max(1, Math.ceil(Math.max(...counts) / Math.max(1, chunkSize)));
    const each = size / counts.length;
    const values = sums.map((sum, i) => {
      const count = counts[Math.floor(i / each)]!;
      return count ? (sum / count) * chunks : chunks;
    });
    yield* text(name);
    yield int32(chunks, size);
    yield new Uint8Array(values.buffer);
  }
  yield int32(chunkCount);
  yield* text(datasets.at(-1) ?? '');
}

function* text(value: string): Generator<Uint8Array> {
  const bytes = new TextEncoder().encode(value);
  yield int32(bytes.length);
  yield bytes;
}

const int32 = (...values: number[]) => new Uint8Array(Int32Array.from(values).buffer);
