import { randomUUID } from 'node:crypto';
import type { S3Bucket } from './s3-bucket.js';
import { Refusal } from './s3-errors.js';
import { PART_BYTES, partsOf, type Upload, uploadParts } from './s3-upload.js';

/** Options of {@link writeObject}. */
export interface WriteOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes of all pieces, if known. */
  readonly byteLength?: number | undefined;
  readonly isReplacing?: boolean | undefined;
}

/**
 * Writes an object, unless there is one that it does not replace. @returns whether this call wrote it.
 * @throws {Refusal} when the server refuses. @throws {ConnectionError} when it cannot be reached.
 */
export async function writeObject(
  bucket: S3Bucket,
  key: string,
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  { signal, byteLength, isReplacing }: WriteOptions,
): Promise<boolean> {
  const writer = randomUUID();
  const condition = isReplacing ? {} : ({ IfNoneMatch: '*' } as const);
  const upload = { bucket, key, metadata: { writer }, signal, condition };
  const parts = partsOf(pieces, byteLength);
  try {
    const first: Uint8Array = (await parts.next()).value;
    if (first.length < PART_BYTES) await putObject(upload, first);
    else await uploadParts(upload, joined(first, parts));
    return true;
  } catch (error) {
    if (!isTaken(error)) throw error;
    // by another writer; or by this one, if the answer to an earlier try was lost
    const there = await bucket.head(key, signal);
    if (!there) throw error;
    return there.writer === writer;
  } finally {
    await parts.return(undefined);
  }
}

async function putObject(
  { bucket, key, metadata: Metadata, signal, condition }: Upload,
  Body: Uint8Array,
): Promise<void> {
  await bucket.send({ action: 'PutObject', key, signal }, (s3, options) =>
    s3.putObject({ ...bucket.object(key), Body, Metadata, ...condition }, options),
  );
  bucket.traffic.writtenBytes += Body.length;
}

/** Returns whether an object was not written because there is one. An upload that is gone may have been completed. */
function isTaken(error: unknown): boolean {
  return error instanceof Refusal && (error.status === 412 || error.answer === 'NoSuchUpload');
}

async function* joined(first: Uint8Array, rest: AsyncIterable<Uint8Array>) {
  yield first;
  yield* rest;
}
