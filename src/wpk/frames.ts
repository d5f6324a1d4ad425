import { deflateSync } from 'fflate';
import { InputError, IntegrityError } from '../core/errors.js';
import { inflateWithin } from '../core/inflate.js';
import { refusePointer } from '../core/lfs-pointer.js';
import { checksum } from '../wasm/lossless.js';

// File header, frames and trailer of spec/wpk-v1.md. These functions do no I/O: bytes in, bytes out.

export const VERSION = 1;
export const FILE_HEADER_BYTES = 16;
export const FRAME_HEADER_BYTES = 16;
export const TRAILER_BYTES = 48;

/** Side files and weight headers are stored in pieces of this many bytes. */
export const PIECE_BYTES = 1 << 20;
export const FRAME_LIMIT_BYTES = 2 ** 30;

/** Limits on the inflated JSON of a payload: parsed, it takes several times the memory, so a small payload must not expand much. */
const JSON_LIMIT_BYTES = 2 ** 29 - 2 ** 16;
const JSON_SMALL_BYTES = 2 ** 22;
const JSON_EXPANSION = 24;
const jsonLimit = (payloadBytes: number) =>
  Math.min(JSON_LIMIT_BYTES, JSON_SMALL_BYTES + JSON_EXPANSION * payloadBytes);

export const FRAME = {
  manifest: 1,
  sideFile: 2,
  weightHeader: 3,
  block: 4,
  directory: 5,
  tables: 6,
  parameters: 7,
} as const;
export type FrameType = (typeof FRAME)[keyof typeof FRAME];

const MAGIC = Uint8Array.of(0x89, 0x57, 0x50, 0x4b, 0x0d, 0x0a, 0x1a, 0x0a);
const END_MAGIC = Uint8Array.of(0x57, 0x50, 0x4b, 0x0a, 0x45, 0x4e, 0x44, 0x0a);

/** Returns true for the first bytes of a .wpk. */
export function isWpk(prefix: Uint8Array): boolean {
  return startsWith(prefix, MAGIC);
}

/** Returns the first 16 bytes of every file. */
export function fileHeader(): Uint8Array {
  const bytes = new Uint8Array(FILE_HEADER_BYTES);
  bytes.set(MAGIC);
  bytes[8] = VERSION;
  return bytes;
}

/** Checks the first 16 bytes of a file. @throws {InputError} when they are not those of a .wpk of a supported version. */
export function checkFileHeader(bytes: Uint8Array, file: string): void {
  const place = { file, start: 0, end: FILE_HEADER_BYTES };
  refusePointer(bytes, file);
  if (!isWpk(bytes)) throw new InputError('not a .wpk file (bad magic bytes)', place);
  if (bytes[8] !== VERSION)
    throw new InputError(
      `unsupported .wpk version ${bytes[8]}, expected ${VERSION}; a newer weightpress may read it`,
      place,
    );
  if (bytes.subarray(9, FILE_HEADER_BYTES).some((byte) => byte !== 0))
    throw new IntegrityError('the file header is damaged', place);
}

/** Returns a frame: header and payload. */
export function frame(type: FrameType, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  bytes.set(payload, FRAME_HEADER_BYTES);
  writeFrameHeader(type, bytes);
  return bytes;
}

/** Fills in the header of a frame whose payload is already in place. @throws {InputError} for a payload over 1 GiB. */
export function writeFrameHeader(type: FrameType, bytes: Uint8Array): void {
  const payload = bytes.subarray(FRAME_HEADER_BYTES);
  if (payload.length > FRAME_LIMIT_BYTES)
    throw new InputError(`a frame of ${payload.length} bytes is over the limit of ${FRAME_LIMIT_BYTES}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES);
  view.setUint32(0, type, true);
  view.setUint32(4, payload.length, true);
  view.setBigUint64(8, payloadChecksum(type, payload), true);
}

function payloadChecksum(type: number, payload: Uint8Array): bigint {
  return longChecksum(payload, BigInt(type) + 256n * BigInt(payload.length));
}

/** Computes a checksum of any number of bytes: the XXH64 of each piece of 1 MiB, seeded with the checksum of those before. */
export function longChecksum(bytes: Uint8Array, seed: bigint): bigint {
  let sum = seed;
  for (let start = 0; start === 0 || start < bytes.length; start += PIECE_BYTES)
    sum = checksum(bytes.subarray(start, start + PIECE_BYTES), sum);
  return sum;
}

/** Reads type and payload length of a frame header. @throws {IntegrityError} when it is not a valid one. */
export function frameHeader(
  bytes: Uint8Array,
  file: string,
  start: number,
): { type: number; payloadBytes: number } {
  const type = bytes[0]!;
  const payloadBytes = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES).getUint32(4, true);
  if (
    type < 1 ||
    type > FRAME.parameters ||
    bytes[1] ||
    bytes[2] ||
    bytes[3] ||
    payloadBytes > FRAME_LIMIT_BYTES
  )
    throw new IntegrityError('damaged: not a frame header', {
      file,
      start,
      end: start + FRAME_HEADER_BYTES,
    });
  return { type, payloadBytes };
}

/**
 * Verifies a frame and returns its payload (a view).
 * @throws {IntegrityError} when its type, length or checksum is wrong.
 */
export function openFrame(bytes: Uint8Array, type: FrameType, file: string, start: number): Uint8Array {
  const place = { file, start, end: start + bytes.length };
  const header = frameHeader(bytes, file, start);
  if (header.type !== type || header.payloadBytes !== bytes.length - FRAME_HEADER_BYTES)
    throw new IntegrityError('damaged: type or length of a frame differs from the directory', place);
  const payload = bytes.subarray(FRAME_HEADER_BYTES);
  const stored = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES).getBigUint64(8, true);
  if (payloadChecksum(type, payload) !== stored)
    throw new IntegrityError('damaged: the checksum of a frame differs', place);
  return payload;
}

/** Position of the directory, in bytes from the start of the file. */
export interface Trailer {
  readonly directoryStart: number;
  readonly directoryEnd: number;
}

export function trailer(directoryStart: number, directoryBytes: number): Uint8Array {
  const bytes = new Uint8Array(TRAILER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(directoryStart), true);
  view.setBigUint64(8, BigInt(directoryBytes), true);
  view.setBigUint64(16, BigInt(directoryStart + directoryBytes + TRAILER_BYTES), true);
  view.setBigUint64(32, checksum(bytes.subarray(0, 32)), true);
  bytes.set(END_MAGIC, 40);
  return bytes;
}

/** Reads the trailer of a file. @throws {IntegrityError} when the bytes are not the trailer of a complete file of `fileBytes`. */
export function readTrailer(bytes: Uint8Array, file: string, fileBytes: number): Trailer {
  const place = { file, start: fileBytes - TRAILER_BYTES, end: fileBytes };
  if (!startsWith(bytes.subarray(40), END_MAGIC))
    throw new IntegrityError('truncated: the file does not end with a trailer', place);
  const view = new DataView(bytes.buffer, bytes.byteOffset, TRAILER_BYTES);
  if (checksum(bytes.subarray(0, 32)) !== view.getBigUint64(32, true) || view.getBigUint64(24, true) !== 0n)
    throw new IntegrityError('damaged: the checksum of the trailer differs', place);
  const [start, length, whole] = [0, 8, 16].map((at) => Number(view.getBigUint64(at, true))) as [
    number,
    number,
    number,
  ];
  if (whole !== fileBytes)
    throw new IntegrityError(`truncated or extended: expected ${whole} bytes, found ${fileBytes}`, place);
  const frameLimit = FRAME_HEADER_BYTES + FRAME_LIMIT_BYTES;
  if (
    start < FILE_HEADER_BYTES ||
    length < FRAME_HEADER_BYTES ||
    length > frameLimit ||
    start + length !== fileBytes - TRAILER_BYTES
  )
    throw new InputError(
      `the trailer's directory range of ${length} bytes at ${start} does not end at the trailer`,
      place,
    );
  return { directoryStart: start, directoryEnd: start + length };
}

/** Deflates (RFC 1951); the same input always gives the same bytes. */
export function deflate(bytes: Uint8Array): Uint8Array {
  return deflateSync(bytes, { level: bytes.length > DEFLATED_FAST_BYTES ? 5 : 9 });
}

/** Longer input would take seconds; a lower level compresses nearly as well. */
const DEFLATED_FAST_BYTES = 2 ** 22;

/** Returns the payload of a frame of JSON. @throws {InputError} for JSON over the limit of readers. */
export function jsonPayload(value: unknown): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(value));
  if (json.length > JSON_LIMIT_BYTES)
    throw new InputError(`a directory of ${json.length} bytes is over the limit of ${JSON_LIMIT_BYTES}`);
  const payload = deflate(json);
  return json.length <= jsonLimit(payload.length) ? payload : deflateSync(json, { level: 0 });
}

/** Inflates the payload of a frame of JSON. @throws {IntegrityError} when it expands beyond the limit for its length. */
export function inflateJson(payload: Uint8Array, file: string): Uint8Array {
  return inflate(payload, jsonLimit(payload.length), file);
}

/** Inflates bytes. @throws {IntegrityError} when they do not inflate, or to more than `limit`; it never allocates much more than that. */
export function inflate(bytes: Uint8Array, limit: number, file: string): Uint8Array {
  const inflated = inflateWithin('deflate', bytes, limit);
  if (inflated instanceof Uint8Array) return inflated;
  const what =
    inflated === 'too long'
      ? `a deflated frame is over the limit of ${limit} bytes`
      : 'damaged: a deflated frame does not inflate';
  throw new IntegrityError(what, { file });
}

/** Returns the number of pieces of a file; an empty file has one. */
export function pieceCount(lengthBytes: number): number {
  return Math.max(1, Math.ceil(lengthBytes / PIECE_BYTES));
}

/** Splits bytes into pieces of 1 MiB, as side files are stored; no bytes give one empty piece. */
export function pieces(bytes: Uint8Array): Uint8Array[] {
  return Array.from({ length: pieceCount(bytes.length) }, (_, i) =>
    bytes.subarray(i * PIECE_BYTES, (i + 1) * PIECE_BYTES),
  );
}

function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return start.every((byte, i) => bytes[i] === byte);
}
