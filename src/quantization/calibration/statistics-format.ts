import { InputError, IntegrityError } from '../../core/errors.js';
import { isPlainObject, parseJsonObject, quote } from '../../core/json.js';
import { chainedChecksum } from '../../wasm/lossless.js';
import type { Identity } from './identity.js';
import type { TensorMoments } from './statistics.js';
import { triangleLength } from './symmetric.js';

// File format: MAGIC; arrays of little-endian float32 (for a symmetric matrix its upper triangle, row by row); the directory, JSON;
// a trailer: the directory's length and XXH64, 8 bytes each, little-endian, and MAGIC again.

export const MAGIC = new TextEncoder().encode('WPSTATS1');
export const TRAILER_BYTES = 24;

/** Maximum bytes of the directory; far more than a thousand layers need. */
const DIRECTORY_LIMIT_BYTES = 1 << 26;

/** Position of an array in the file. */
export interface ArrayEntry {
  /** Rows and columns of a symmetric matrix, or the length of a vector. */
  readonly size: number;
  readonly symmetric: boolean;
  /** Offset of the first byte. */
  readonly start: number;
  /** XXH64, hexadecimal. */
  readonly checksum: string;
}

/** One {@link TensorMoments}: its arrays by their index. */
export interface TensorEntry extends Pick<TensorMoments, 'kind' | 'transposed'> {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
}

export interface StatisticsDirectory {
  readonly identity: Identity;
  readonly arrays: readonly ArrayEntry[];
  readonly tensors: readonly TensorEntry[];
}

/** Returns how many numbers of an array are stored. */
export const storedLength = ({ size, symmetric }: Pick<ArrayEntry, 'size' | 'symmetric'>) =>
  symmetric ? triangleLength(size) : size;

/** Yields views of the stored parts of an array; for a symmetric matrix, each row from the diagonal on. */
export function* storedRows(values: Float32Array, size: number, symmetric: boolean): Generator<Float32Array> {
  if (!symmetric) yield values;
  else for (let row = 0; row < size; row++) yield values.subarray(row * size + row, (row + 1) * size);
}

/** Serializes directory and trailer. */
export function encodeDirectory(directory: StatisticsDirectory): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(directory));
  const bytes = new Uint8Array(json.length + TRAILER_BYTES);
  const view = new DataView(bytes.buffer, json.length);
  bytes.set(json);
  view.setBigUint64(0, BigInt(json.length), true);
  view.setBigUint64(8, chainedChecksum(json), true);
  bytes.set(MAGIC, json.length + 16);
  return bytes;
}

/** Reads the offset of the directory from the trailer. @throws {IntegrityError} when it is not the trailer of a complete file of `fileBytes`. */
export function directoryStart(trailer: Uint8Array, file: string, fileBytes: number): number {
  const place = { file, start: fileBytes - TRAILER_BYTES, end: fileBytes };
  const length = Number(new DataView(trailer.buffer, trailer.byteOffset).getBigUint64(0, true));
  const isWhole = MAGIC.every((byte, i) => trailer[16 + i] === byte);
  if (!isWhole || length > DIRECTORY_LIMIT_BYTES || length > fileBytes - TRAILER_BYTES - MAGIC.length)
    throw new IntegrityError('truncated or damaged: bad trailer of a statistics file', place);
  return fileBytes - TRAILER_BYTES - length;
}

/** Verifies and parses the directory. @throws {IntegrityError} when it is damaged. @throws {InputError} when its content is invalid. */
export function decodeDirectory(
  json: Uint8Array,
  trailer: Uint8Array,
  file: string,
  start: number,
): StatisticsDirectory {
  const place = { file, start, end: start + json.length };
  if (chainedChecksum(json) !== new DataView(trailer.buffer, trailer.byteOffset).getBigUint64(8, true))
    throw new IntegrityError('damaged: the checksum of the directory differs', place);
  const { identity, arrays, tensors } = parseJsonObject(json, file, start).value;
  const check: (good: boolean, what: string, found: unknown) => asserts good = (good, what, found) => {
    if (!good) throw new InputError(`expected ${what}, found ${quote(found)}`, place);
  };
  check(isIdentity(identity), 'what the statistics were collected from', identity);
  check(
    Array.isArray(arrays) && arrays.every((entry) => isArrayEntry(entry, start)),
    'arrays within the file',
    arrays,
  );
  const count = arrays.length;
  check(
    Array.isArray(tensors) && tensors.every((entry) => isTensorEntry(entry, count)),
    'tensors with arrays',
    tensors,
  );
  return { identity, arrays, tensors };
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isHex = (value: unknown, digits: number) =>
  typeof value === 'string' && value.length === digits && /^[0-9a-f]*$/.test(value);

function isIdentity(value: unknown): value is Identity {
  if (!isPlainObject(value)) return false;
  const { model, text, tokens, window, seed } = value;
  return isHex(model, 64) && isHex(text, 64) && [tokens, window, seed].every(isCount);
}

function isArrayEntry(value: unknown, end: number): value is ArrayEntry {
  if (!isPlainObject(value)) return false;
  const { size, symmetric, start, checksum } = value;
  if (!isCount(size) || !isCount(start) || typeof symmetric !== 'boolean' || !isHex(checksum, 16))
    return false;
  return start >= MAGIC.length && start + storedLength({ size, symmetric }) * 4 <= end;
}

function isTensorEntry(value: unknown, arrays: number): value is TensorEntry {
  if (!isPlainObject(value)) return false;
  const { name, kind, transposed, inputs, outputs } = value;
  const isIndex = (index: unknown) => isCount(index) && index < arrays;
  const isKind = typeof kind === 'string' && ['linear', 'embedding', 'head', 'experts'].includes(kind);
  return (
    typeof name === 'string' &&
    isKind &&
    typeof transposed === 'boolean' &&
    isIndex(inputs) &&
    isIndex(outputs)
  );
}
