import type { ByteSource } from '../../core/byte-source.js';
import { elementCount } from '../../core/dtype.js';
import { InputError } from '../../core/errors.js';
import { POINTER_PREFIX_BYTES, refusePointer } from '../../core/lfs-pointer.js';
import { Cursor } from './cursor.js';
import { GGUF_TYPES, type GgufType } from './types.js';

/** A value of a GGUF file's metadata. */
export type GgufValue = number | boolean | string | readonly GgufValue[];

export interface GgufTensor {
  readonly name: string;
  readonly type: GgufType;
  /** Row-major: consecutive elements are along the last dimension. The file lists dimensions in reverse order. */
  readonly shape: readonly number[];
  /** Byte range in the file, end exclusive. */
  readonly start: number;
  readonly end: number;
}

export interface GgufHeader {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: readonly GgufTensor[];
  /** Offset of the first tensor. */
  readonly dataStart: number;
}

export interface GgufHeaderOptions {
  /** Whether to skip tensors of unknown types, whose lengths are unknown, instead of refusing the file. */
  readonly unknownTypes?: boolean;
}

// Limits far above real files: the largest vocabularies have 300,000 tokens, the largest models several thousand tensors.
const MAX_HEADER_BYTES = 2 ** 28;
const MAX_KEYS = 65_536;
const MAX_TENSORS = 65_536;
/** Elements of all arrays together; an element of one byte takes eight once parsed. */
const MAX_ELEMENTS = 16_777_216;
const MAX_NAME_BYTES = 2 ** 16;
const MAX_TEXT_BYTES = 2 ** 24;
const MAX_DIMENSIONS = 8;
const MAX_DEPTH = 4;
const DEFAULT_ALIGNMENT = 32;
const MAX_ALIGNMENT = 2 ** 20;

/** Returns whether the first bytes of a file are those of GGUF. */
export function isGguf(prefix: Uint8Array): boolean {
  return prefix[0] === 0x47 && prefix[1] === 0x47 && prefix[2] === 0x55 && prefix[3] === 0x46;
}

/**
 * Reads and checks the header of a little-endian GGUF file, version 2 or 3: its metadata and the location of its tensors.
 * @throws {InputError} for counts, strings and tensors that exceed the file or the limits, and for unknown types.
 */
export async function readGgufHeader(
  source: ByteSource,
  options: GgufHeaderOptions = {},
): Promise<GgufHeader> {
  const cursor = new Cursor(source, MAX_HEADER_BYTES);
  if ((await cursor.uint32()) !== 0x46554747) {
    refusePointer(await source.read(0, Math.min(POINTER_PREFIX_BYTES, source.byteLength)), source.name);
    cursor.fail('not a GGUF file (bad magic bytes)');
  }
  const version = await cursor.uint32();
  if (version > 0 && version % 2 ** 24 === 0)
    throw new InputError('unsupported byte order: big-endian (lossless compress accepts the file as it is)', {
      file: source.name,
    });
  if (version !== 2 && version !== 3) cursor.fail(`unsupported GGUF version ${version}, expected 2 or 3`);
  const tensorCount = await cursor.uint64();
  const keyCount = await cursor.uint64();
  if (tensorCount > MAX_TENSORS) cursor.fail(`${tensorCount} tensors are over the limit of ${MAX_TENSORS}`);
  if (keyCount > MAX_KEYS) cursor.fail(`${keyCount} metadata keys are over the limit of ${MAX_KEYS}`);
  const metadata = await readMetadata(cursor, keyCount);
  const alignment = Number(metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT);
  if (!(alignment >= 1 && alignment <= MAX_ALIGNMENT && Number.isInteger(Math.log2(alignment))))
    cursor.fail(`expected an alignment that is a power of two, found ${alignment}`);
  const declared = [];
  for (let i = 0; i < tensorCount; i++) {
    const tensor = await readTensorInfo(cursor, options.unknownTypes ?? false);
    if (tensor) declared.push(tensor);
  }
  const dataStart = Math.ceil(cursor.position / alignment) * alignment;
  const tensors = declared.map(({ offset, lengthBytes, ...tensor }) => ({
    ...tensor,
    start: dataStart + offset,
    end: dataStart + offset + lengthBytes,
  }));
  checkPlaces(tensors, alignment, source);
  return { version, metadata, tensors, dataStart };
}

async function readMetadata(cursor: Cursor, count: number): Promise<Map<string, GgufValue>> {
  const metadata = new Map<string, GgufValue>();
  const arrays: Arrays = { depth: 0, elements: 0 };
  for (let i = 0; i < count; i++) {
    const key = await cursor.text(MAX_NAME_BYTES);
    if (metadata.has(key)) cursor.fail(`duplicate key ${JSON.stringify(key.slice(0, 100))}`);
    metadata.set(key, await readValue(cursor, await cursor.uint32(), arrays));
  }
  return metadata;
}

type ReadValue = (cursor: Cursor) => Promise<GgufValue>;

/** Readers by the number of the value's type. */
const VALUES: Readonly<Record<number, ReadValue>> = {
  0: (cursor) => cursor.scalar(1, (view, at) => view.getUint8(at)),
  1: (cursor) => cursor.scalar(1, (view, at) => view.getInt8(at)),
  2: (cursor) => cursor.scalar(2, (view, at) => view.getUint16(at, true)),
  3: (cursor) => cursor.scalar(2, (view, at) => view.getInt16(at, true)),
  4: (cursor) => cursor.scalar(4, (view, at) => view.getUint32(at, true)),
  5: (cursor) => cursor.scalar(4, (view, at) => view.getInt32(at, true)),
  6: (cursor) => cursor.scalar(4, (view, at) => view.getFloat32(at, true)),
  7: (cursor) => cursor.scalar(1, (view, at) => view.getUint8(at) !== 0),
  8: (cursor) => cursor.text(MAX_TEXT_BYTES),
  10: (cursor) => cursor.uint64(),
  11: (cursor) => cursor.scalar(8, (view, at) => Number(view.getBigInt64(at, true))),
  12: (cursor) => cursor.scalar(8, (view, at) => view.getFloat64(at, true)),
};
const ARRAY = 9;

/** Current nesting of arrays, and the number of their elements so far. */
interface Arrays {
  depth: number;
  elements: number;
}

async function readValue(cursor: Cursor, type: number, arrays: Arrays): Promise<GgufValue> {
  const read = VALUES[type];
  if (read) return read(cursor);
  if (type !== ARRAY) cursor.fail(`unknown metadata type ${type}`);
  if (arrays.depth >= MAX_DEPTH) cursor.fail(`arrays are nested deeper than ${MAX_DEPTH}`);
  const elementType = await cursor.uint32();
  const count = await cursor.uint64();
  arrays.elements += count;
  if (arrays.elements > MAX_ELEMENTS)
    cursor.fail(`arrays of ${arrays.elements} elements together are over the limit of ${MAX_ELEMENTS}`);
  const values: GgufValue[] = [];
  arrays.depth++;
  for (let i = 0; i < count; i++) values.push(await readValue(cursor, elementType, arrays));
  arrays.depth--;
  return values;
}

async function readTensorInfo(cursor: Cursor, unknownTypes: boolean) {
  const name = await cursor.text(MAX_NAME_BYTES);
  const dimensions = await cursor.uint32();
  if (dimensions > MAX_DIMENSIONS)
    cursor.fail(`expected at most ${MAX_DIMENSIONS} dimensions, found ${dimensions}`);
  const reversed: number[] = [];
  for (let i = 0; i < dimensions; i++) reversed.push(await cursor.uint64());
  const number = await cursor.uint32();
  const type = GGUF_TYPES[number];
  const offset = await cursor.uint64();
  if (!type && unknownTypes) return undefined;
  if (!type) return cursor.fail(`tensor ${JSON.stringify(name.slice(0, 100))} has unknown type ${number}`);
  const elements = elementCount(reversed);
  const rowElements = reversed[0] ?? 1;
  const countable = [elements, ...reversed].every(Number.isSafeInteger);
  if (!countable || rowElements % type.blockElements)
    cursor.fail(`tensor ${JSON.stringify(name.slice(0, 100))}: ${type.name} cannot have shape [${reversed}]`);
  const lengthBytes = (elements / type.blockElements) * type.blockBytes;
  return { name, type, shape: reversed.reverse(), offset, lengthBytes };
}

function checkPlaces(
  tensors: readonly GgufTensor[],
  alignment: number,
  { name: file, byteLength }: ByteSource,
): void {
  const names = new Set<string>();
  for (const { name, start, end } of tensors) {
    const place = { file, tensor: name, start, end };
    if (names.has(name)) throw new InputError('duplicate name', place);
    names.add(name);
    if (start % alignment) throw new InputError(`is not aligned to ${alignment} bytes`, place);
    if (!(end <= byteLength)) throw new InputError(`ends beyond the file of ${byteLength} bytes`, place);
  }
  const ordered = [...tensors].sort((a, b) => a.start - b.start);
  for (const [i, tensor] of ordered.entries()) {
    const next = ordered[i + 1];
    if (next && tensor.end > next.start)
      throw new InputError(`overlaps ${JSON.stringify(next.name.slice(0, 100))}`, {
        file,
        tensor: tensor.name,
      });
  }
}
