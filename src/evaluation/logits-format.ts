import { InputError, IntegrityError } from '../core/errors.js';
import { isPlainObject, parseJsonObject, quote } from '../core/json.js';
import { checksum } from '../wasm/lossless.js';
import type { LogitsOrigin } from './stored-logits.js';

// File format: MAGIC; the header's length, 4 bytes, its XXH64, 8 bytes, and the header, JSON; blocks, each a length of 4 bytes and a
// lossless block of spec/wpk-v1.md, which has its own digest, of up to 2^18 logits; a trailer: the file's length, 8 bytes, and MAGIC.
// Numbers are little-endian. Logits are float32 [tokens, vocabulary] in the order of prediction, across windows.

const MAGIC = new TextEncoder().encode('WPLOGIT1');
export const START_BYTES = MAGIC.length + 12;
export const TRAILER_BYTES = 8 + MAGIC.length;
export const LENGTH_BYTES = 4;

/** Maximum bytes of the header: far more than a name and a few numbers. */
const HEADER_LIMIT_BYTES = 1 << 16;

const startsWithMagic = (bytes: Uint8Array) => MAGIC.every((byte, i) => bytes[i] === byte);

/** Serializes what the logits were computed from: the file up to the first block. */
export function encodeStart(origin: LogitsOrigin): Uint8Array {
  const header = new TextEncoder().encode(JSON.stringify(origin));
  const bytes = new Uint8Array(START_BYTES + header.length);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(MAGIC.length, header.length, true);
  view.setBigUint64(MAGIC.length + 4, checksum(header), true);
  bytes.set(header, START_BYTES);
  return bytes;
}

/** Reads the header's length and checksum from the first bytes. @throws {InputError} when they are not those of a file of logits. */
export function decodeStart(bytes: Uint8Array, file: string, fileBytes: number) {
  if (!startsWithMagic(bytes)) throw new InputError('is not a file of logits', { file });
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const length = bytes.length < START_BYTES ? Number.POSITIVE_INFINITY : view.getUint32(MAGIC.length, true);
  if (length > HEADER_LIMIT_BYTES || START_BYTES + length + TRAILER_BYTES > fileBytes)
    throw new IntegrityError('truncated or damaged: bad length of the header', { file });
  return { end: START_BYTES + length, digest: view.getBigUint64(MAGIC.length + 4, true) };
}

/** Verifies and parses the header. @throws {IntegrityError} when it is damaged. @throws {InputError} when its content is invalid. */
export function decodeHeader(bytes: Uint8Array, digest: bigint, file: string): LogitsOrigin {
  const place = { file, start: START_BYTES, end: START_BYTES + bytes.length };
  if (checksum(bytes) !== digest)
    throw new IntegrityError('damaged: the checksum of the header differs', place);
  const { value } = parseJsonObject(bytes, file, START_BYTES);
  if (!isOrigin(value))
    throw new InputError(`expected what the logits were computed from, found ${quote(value)}`, place);
  return value;
}

/** Returns the last bytes of a file whose blocks end at `end`. */
export function encodeTrailer(end: number): Uint8Array {
  const bytes = new Uint8Array(TRAILER_BYTES);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(end + TRAILER_BYTES), true);
  bytes.set(MAGIC, 8);
  return bytes;
}

/** @throws {IntegrityError} unless these are the last bytes of a complete file. */
export function checkTrailer(bytes: Uint8Array, file: string, fileBytes: number): void {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (startsWithMagic(bytes.subarray(8)) && length === BigInt(fileBytes)) return;
  const place = { file, start: fileBytes - TRAILER_BYTES, end: fileBytes };
  throw new IntegrityError('truncated or damaged: bad trailer of a file of logits', place);
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;
const isHex = (value: unknown, digits: number) =>
  typeof value === 'string' && value.length === digits && /^[0-9a-f]*$/.test(value);

function isOrigin(value: unknown): value is LogitsOrigin {
  if (!isPlainObject(value)) return false;
  const { model, modelSha256, kind, vocabulary, window, windows, tokens, text } = value;
  return (
    typeof model === 'string' &&
    isHex(modelSha256, 64) &&
    isHex(text, 16) &&
    (kind === 'causal' || kind === 'masked') &&
    [vocabulary, window, windows, tokens].every(isCount)
  );
}
