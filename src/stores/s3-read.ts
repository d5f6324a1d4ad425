import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { InputError, isInputError, type Place } from '../core/errors.js';
import type { S3Bucket } from './s3-bucket.js';
import { isMissing, isOutside, transientReason } from './s3-errors.js';
import { Tries } from './tries.js';

/** Longer objects are not read at once. */
const MAX_BYTES = 2 ** 32 - 1;
/** So many bytes of a body that was cut are progress. */
const PROGRESS_BYTES = 2 ** 16;

/**
 * Reads bytes `start` to `end` (exclusive; undefined: all) of an object. A body that is cut is read on from where it stopped.
 * @throws {InputError} when there is no such object, or it is shorter. @throws {ConnectionError} when the server cannot be reached.
 */
export async function readObject(
  bucket: S3Bucket,
  key: string,
  start: number,
  end: number | undefined,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const place = { file: bucket.nameOf(key), ...(end !== undefined && { start, end }) };
  const tries = new Tries(place, signal);
  let target: Uint8Array | undefined;
  for (let at = 0; ; ) {
    const rest = { start: start + at, end: target ? start + target.length : end };
    const answer = await ask(bucket, key, rest, { place, tries, signal });
    const total = lengthOf(answer, rest.start, place);
    const length = (end ?? total) - start;
    if (start + length > total || length !== (target?.length ?? length)) throw isShorter(place, total);
    if (length > MAX_BYTES) throw new InputError(`${length} bytes are too many to read at once`, place);
    target ??= new Uint8Array(length);
    const body = await fill(target.subarray(at), answer, place);
    at += body.bytes;
    bucket.traffic.readBytes += body.bytes;
    if (at === target.length) return target;
    signal?.throwIfAborted();
    if (body.bytes >= PROGRESS_BYTES) tries.reset();
    await tries.next(transientReason(body.error ?? {}) ?? 'the connection broke', body.error);
  }
}

interface Asking {
  readonly place: Place;
  readonly tries: Tries;
  readonly signal: AbortSignal | undefined;
}

async function ask(
  bucket: S3Bucket,
  key: string,
  { start, end }: { readonly start: number; readonly end: number | undefined },
  { place, tries, signal }: Asking,
): Promise<GetObjectCommandOutput> {
  const Range = end === undefined ? undefined : `bytes=${start}-${end - 1}`;
  try {
    return await bucket.send({ action: 'GetObject', key, signal, tries }, (s3, options) =>
      s3.getObject({ ...bucket.object(key), Range }, options),
    );
  } catch (error) {
    if (isMissing(error)) throw new InputError('no such object', place, { cause: error });
    if (isOutside(error)) throw isShorter(place);
    throw error;
  }
}

function isShorter(place: Place, total?: number): InputError {
  return new InputError(`range is outside the ${total === undefined ? '' : `${total} `}bytes`, place);
}

/** Copies a body as far as it comes. @throws {InputError} when it is longer than the target. */
async function fill(
  target: Uint8Array,
  { Body }: GetObjectCommandOutput,
  place: Place,
): Promise<{ readonly bytes: number; readonly error?: unknown }> {
  let bytes = 0;
  try {
    for await (const chunk of Body as AsyncIterable<Uint8Array>) {
      if (chunk.length > target.length - bytes)
        throw new InputError('the server sent more bytes than requested', place);
      target.set(chunk, bytes);
      bytes += chunk.length;
    }
    return { bytes };
  } catch (error) {
    if (isInputError(error)) throw error;
    return { bytes, error };
  }
}

/** Returns the length of the whole object. @throws {InputError} when an answer is not the part from `start` on. */
function lengthOf(
  { ContentRange, ContentLength }: GetObjectCommandOutput,
  start: number,
  place: Place,
): number {
  if (ContentRange === undefined && start === 0 && ContentLength !== undefined) return ContentLength;
  const [, first, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(ContentRange ?? '') ?? [];
  if (Number(first) === start) return Number(total);
  throw new InputError(`expected bytes from ${start} on, the server sent ${ContentRange ?? 'all'}`, place);
}
