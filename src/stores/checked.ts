import { concatenate } from '../core/bytes.js';
import type { Dtype } from '../core/dtype.js';
import { InputError, IntegrityError } from '../core/errors.js';
import { isPlainObject, parseJsonObject } from '../core/json.js';
import { chainedChecksum } from '../wasm/lossless.js';
import { RunningChecksum } from './running-checksum.js';
import type { Store } from './store.js';

/** Array types by the names of their elements. */
const ARRAYS = {
  F64: Float64Array,
  F32: Float32Array,
  I32: Int32Array,
  U32: Uint32Array,
  I16: Int16Array,
  I8: Int8Array,
  U8: Uint8Array,
} as const satisfies Partial<Record<Dtype, unknown>>;

/** An array that an object can contain. */
export type PackedArray =
  | Float64Array
  | Float32Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Int8Array
  | Uint8Array;

/** What an object contains. */
export interface Packed {
  readonly header: Readonly<Record<string, unknown>>;
  /** Views of the object's bytes. */
  readonly arrays: readonly PackedArray[];
}

// An object: magic bytes; version and length of the JSON, 32 bits each; the JSON; the arrays; a checksum of all of it. JSON and arrays
// start at multiples of 8 bytes.
const MAGIC = new TextEncoder().encode('WPOBJECT');
const VERSION = 1;
const HEAD_BYTES = 16;
const SUM_BYTES = 8;

/** Yields the bytes of an object, without copies of the arrays. @param header is stored as JSON. */
export function* packedPieces(
  header: Packed['header'],
  arrays: readonly PackedArray[] = [],
): Generator<Uint8Array> {
  const sum = new RunningChecksum();
  for (const piece of bodyPieces(header, arrays)) {
    sum.add(piece);
    yield piece;
  }
  const end = new Uint8Array(SUM_BYTES);
  new DataView(end.buffer).setBigUint64(0, sum.value(), true);
  yield end;
}

/** Returns the bytes of an object. @param header is stored as JSON. */
export function packObject(header: Packed['header'], arrays: readonly PackedArray[] = []): Uint8Array {
  return concatenate([...packedPieces(header, arrays)]);
}

/**
 * Returns what an object contains.
 * @param name of the object, for messages. @throws {IntegrityError} when it is damaged. @throws {InputError} when its version is not known.
 */
export function unpackObject(bytes: Uint8Array, name: string): Packed {
  const damaged = (what: string) => new IntegrityError(`damaged: ${what}`, { file: name });
  if (bytes.length < HEAD_BYTES + SUM_BYTES) throw damaged(`has only ${bytes.length} bytes`);
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) throw damaged('bad magic bytes');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const end = bytes.length - SUM_BYTES;
  if (chainedChecksum(bytes.subarray(0, end)) !== view.getBigUint64(end, true))
    throw damaged('the checksum differs');
  const version = view.getUint32(8, true);
  if (version !== VERSION)
    throw new InputError(`expected version ${VERSION} of objects, found ${version}`, { file: name });
  const jsonEnd = HEAD_BYTES + view.getUint32(12, true);
  if (jsonEnd > end) throw damaged('its parts are longer than the whole');
  const { header, arrays } = parseJsonObject(bytes.subarray(HEAD_BYTES, jsonEnd), name, HEAD_BYTES).value;
  if (!isPlainObject(header) || !isList(arrays)) throw damaged('its header is not one');
  let next = aligned(jsonEnd);
  const read = arrays.map(({ dtype, byteLength }) => {
    const start = next;
    next = aligned(start + byteLength);
    if (next > end) throw damaged('its parts are longer than the whole');
    return arrayOf(dtype, bytes.subarray(start, start + byteLength));
  });
  if (next !== end) throw damaged('its parts are shorter than the whole');
  return { header, arrays: read };
}

/** Reads an object of a store. @throws {IntegrityError} when it is damaged. @throws as {@link Store.read}. */
export async function readPacked(store: Store, key: string, signal?: AbortSignal): Promise<Packed> {
  return unpackObject(await store.read(key, 0, undefined, signal), `${store.name}/${key}`);
}

/** What the header says of an array. */
interface Entry {
  readonly dtype: keyof typeof ARRAYS;
  readonly byteLength: number;
}

function* bodyPieces(header: Packed['header'], arrays: readonly PackedArray[]): Generator<Uint8Array> {
  const list = arrays.map((array): Entry => ({ dtype: dtypeOf(array), byteLength: array.byteLength }));
  const json = new TextEncoder().encode(JSON.stringify({ header, arrays: list }));
  const head = new Uint8Array(aligned(HEAD_BYTES + json.length));
  head.set(MAGIC);
  head.set(json, HEAD_BYTES);
  const view = new DataView(head.buffer);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, json.length, true);
  yield head;
  for (const { buffer, byteOffset, byteLength } of arrays) {
    yield new Uint8Array(buffer, byteOffset, byteLength);
    yield new Uint8Array(aligned(byteLength) - byteLength);
  }
}

function dtypeOf(array: PackedArray): Entry['dtype'] {
  for (const dtype of Object.keys(ARRAYS) as Entry['dtype'][])
    if (array instanceof ARRAYS[dtype]) return dtype;
  throw new TypeError('an object cannot contain arrays of this type');
}

function arrayOf(dtype: Entry['dtype'], bytes: Uint8Array): PackedArray {
  const { buffer, byteOffset, length } = bytes.byteOffset % 8 ? new Uint8Array(bytes) : bytes;
  return new ARRAYS[dtype](buffer as ArrayBuffer, byteOffset, length / ARRAYS[dtype].BYTES_PER_ELEMENT);
}

function isList(value: unknown): value is readonly Entry[] {
  return Array.isArray(value) && value.every(isEntry);
}

function isEntry(value: unknown): value is Entry {
  if (!isPlainObject(value)) return false;
  const { dtype, byteLength } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(ARRAYS, dtype)) return false;
  const width = ARRAYS[dtype as Entry['dtype']].BYTES_PER_ELEMENT;
  return (
    Number.isSafeInteger(byteLength) && (byteLength as number) >= 0 && (byteLength as number) % width === 0
  );
}

const aligned = (bytes: number) => Math.ceil(bytes / 8) * 8;

/** Cuts bytes into parts of these lengths, one after another. */
export function cutBytes(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  let end = 0;
  return lengths.map((length) => {
    end += length;
    return bytes.subarray(end - length, end);
  });
}
