import type { ByteSource } from '../../core/byte-source.js';
import { DTYPE_BYTES, type Dtype, elementCount, isDtype, PAIRS } from '../../core/dtype.js';
import { InputError, type Place } from '../../core/errors.js';
import { isPlainObject, kindOf, parseJsonObject, quote } from '../../core/json.js';
import { POINTER_PREFIX_BYTES, refusePointer } from '../../core/lfs-pointer.js';
import type { TensorInfo } from '../../core/model.js';

/** Maximum length of the JSON header, as in the reference implementation. */
export const HEADER_LIMIT_BYTES = 100_000_000;
/** Maximum length of a type's name, known or not. */
const MAX_DTYPE_LENGTH = 64;
/** Bytes of the length field, a little-endian u64 at the front. */
export const LENGTH_FIELD_BYTES = 8;

/** A tensor and its byte range in its file, end exclusive. */
export interface StoredTensor extends TensorInfo {
  readonly start: number;
  readonly end: number;
  /** Its role, if it is not a tensor of a model. */
  readonly role?: string;
}

export interface SafetensorsHeader {
  /** In order of their bytes; empty tensors at the same offset in order of the header. */
  readonly tensors: readonly StoredTensor[];
  /** `__metadata__`, without a prototype, so that any key is safe. */
  readonly metadata: Readonly<Record<string, string>>;
  /** All bytes before the first tensor: length field, JSON and padding. */
  readonly headerBytes: Uint8Array;
}

export interface SafetensorsOptions {
  /** Whether to accept bytes that belong to no tensor. */
  readonly holes?: boolean;
}

/**
 * Reads and checks the header of a safetensors file with two range reads.
 * @throws {InputError} when a type, shape, length or offset is invalid, or tensors overlap or leave gaps.
 */
export async function readSafetensors(
  source: ByteSource,
  options: SafetensorsOptions = {},
  signal?: AbortSignal,
): Promise<SafetensorsHeader> {
  const file = source.name;
  if (source.byteLength < LENGTH_FIELD_BYTES)
    throw new InputError(
      `expected at least ${LENGTH_FIELD_BYTES} bytes of safetensors header, found ${source.byteLength}`,
      { file },
    );
  const field = await source.read(0, LENGTH_FIELD_BYTES, signal);
  const jsonBytes = new DataView(field.buffer, field.byteOffset).getBigUint64(0, true);
  const place = { file, start: 0, end: LENGTH_FIELD_BYTES };
  if (jsonBytes > BigInt(HEADER_LIMIT_BYTES)) {
    refusePointer(await source.read(0, Math.min(POINTER_PREFIX_BYTES, source.byteLength), signal), file);
    throw new InputError(
      `header length ${jsonBytes} is over the limit of ${HEADER_LIMIT_BYTES} bytes (not a safetensors file?)`,
      place,
    );
  }
  const headerEnd = LENGTH_FIELD_BYTES + Number(jsonBytes);
  if (headerEnd > source.byteLength)
    throw new InputError(
      `header ends at byte ${headerEnd}, beyond the file of ${source.byteLength} bytes`,
      place,
    );
  return parseHeader(await source.read(0, headerEnd, signal), source.byteLength, file, options);
}

/**
 * Parses a complete header, with its length field, of a file of `fileBytes` bytes.
 * @param file name for messages. @throws {InputError} as {@link readSafetensors}.
 */
export function parseHeader(
  headerBytes: Uint8Array,
  fileBytes: number,
  file: string,
  { holes = false }: SafetensorsOptions = {},
): SafetensorsHeader {
  const { value, keys } = parseJsonObject(headerBytes.subarray(LENGTH_FIELD_BYTES), file, LENGTH_FIELD_BYTES);
  const metadata = parseMetadata(Object.hasOwn(value, '__metadata__') ? value.__metadata__ : {}, file);
  const tensors = keys
    .filter((name) => name !== '__metadata__')
    .map((name) => parseTensor(name, value[name], headerBytes.length, fileBytes, file))
    // a stable sort, so that empty tensors stay in the header's order
    .sort((a, b) => a.start - b.start || a.end - b.end);
  checkCoverage(tensors, headerBytes.length, fileBytes, file, holes);
  return { tensors, metadata, headerBytes };
}

/**
 * Returns `__metadata__` of a complete header, with its length field; undefined where there is none.
 * @param file name for messages. @throws {InputError} when it is malformed.
 */
export function metadataIn(headerBytes: Uint8Array, file: string): Record<string, string> | undefined {
  const { value } = parseJsonObject(headerBytes.subarray(LENGTH_FIELD_BYTES), file, LENGTH_FIELD_BYTES);
  return value.__metadata__ == null ? undefined : parseMetadata(value.__metadata__, file);
}

function parseMetadata(value: unknown, file: string): Record<string, string> {
  if (value === null) return Object.create(null);
  if (!isPlainObject(value))
    throw new InputError(`__metadata__: expected an object of strings, found ${kindOf(value)}`, { file });
  for (const [key, text] of Object.entries(value))
    if (typeof text !== 'string')
      throw new InputError(`__metadata__ ${quote(key)}: expected a string, found ${kindOf(text)}`, {
        file,
      });
  return Object.assign(Object.create(null), value);
}

function parseTensor(
  tensor: string,
  entry: unknown,
  dataStart: number,
  fileBytes: number,
  file: string,
): StoredTensor {
  const place = { file, tensor };
  if (!isPlainObject(entry)) throw new InputError(`expected an object, found ${kindOf(entry)}`, place);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string' || dtype.length > MAX_DTYPE_LENGTH)
    throw new InputError(`dtype: expected the name of a type, found ${quote(dtype)}`, place);
  const lengthBytes = isDtype(dtype) ? byteLength(dtype, shape, place) : undefined;
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    throw new InputError(`data_offsets: expected two non-negative integers, found ${quote(offsets)}`, place);
  const [start, end] = offsets.map((offset: number) => dataStart + offset) as [number, number];
  if (start > end) throw new InputError(`data_offsets: start is after end: [${offsets}]`, place);
  if (end > fileBytes)
    throw new InputError(`data ends beyond the file of ${fileBytes} bytes`, { ...place, start, end });
  if (!isDtype(dtype)) return foreign({ name: tensor, start, end }, dtype, shape, place);
  if (end - start !== lengthBytes)
    throw new InputError(
      `expected ${lengthBytes} bytes for ${dtype} of shape ${quote(shape)}, data_offsets give ${end - start}`,
      { ...place, start, end },
    );
  return { name: tensor, dtype, shape: shape as number[], lengthBytes, start, end };
}

/** Returns a tensor of another type: complex numbers as pairs of floats, everything else as bytes. */
function foreign(
  at: Pick<StoredTensor, 'name' | 'start' | 'end'>,
  encoding: string,
  shape: unknown,
  place: Place,
) {
  const bytes = at.end - at.start;
  const pair = Object.hasOwn(PAIRS, encoding) ? PAIRS[encoding] : undefined;
  const declared = shapeOf(shape, place);
  if (!Number.isSafeInteger(elementCount(declared)))
    throw new InputError(`shape ${quote(shape)} is too large: over 2^53 elements`, place);
  const holds = { name: at.name, dtype: 'U8', shape: declared, lengthBytes: bytes, encoding } as const;
  if (!pair) return { ...at, dtype: 'U8', shape: [bytes], lengthBytes: bytes, holds } as const;
  if (byteLength(pair, declared, place) * 2 !== bytes)
    throw new InputError(`${encoding} of shape ${quote(shape)} does not match ${bytes} bytes`, place);
  return { ...at, dtype: pair, shape: [...declared, 2], lengthBytes: bytes, holds };
}

function shapeOf(shape: unknown, place: Place): number[] {
  if (!Array.isArray(shape) || !shape.every(isCount))
    throw new InputError(`shape: expected an array of non-negative integers, found ${quote(shape)}`, place);
  return shape;
}

function byteLength(dtype: Dtype, shape: unknown, place: Place): number {
  let bytes: number = DTYPE_BYTES[dtype];
  for (const dimension of shapeOf(shape, place)) {
    bytes *= dimension;
    if (!Number.isSafeInteger(bytes))
      throw new InputError(`shape ${quote(shape)} is too large: over 2^53 bytes`, place);
  }
  return bytes;
}

function checkCoverage(
  tensors: readonly StoredTensor[],
  dataStart: number,
  fileBytes: number,
  file: string,
  holes: boolean,
): void {
  let covered = dataStart;
  for (const { name: tensor, start, end } of tensors) {
    const place = { file, tensor, start, end };
    if (start < covered) throw new InputError('overlaps the tensor before it', place);
    if (start > covered && !holes)
      throw new InputError(`${start - covered} bytes before it belong to no tensor (a hole)`, place);
    covered = end;
  }
  if (covered !== fileBytes && !holes)
    throw new InputError(`${fileBytes - covered} bytes after the last tensor belong to no tensor`, {
      file,
      start: covered,
      end: fileBytes,
    });
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
