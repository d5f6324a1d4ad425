import { concatenate } from '../core/bytes.js';
import type { Call, S3Bucket } from './s3-bucket.js';

const MIB = 2 ** 20;
/** Bytes of a part; smaller objects are sent in one request. */
export const PART_BYTES = 8 * MIB;
const MAX_PARTS = 10_000;
/** If the length is not known, parts double after this many: 10,000 have 8 TiB then, more than an object may. */
const EQUAL_PARTS = 1000;
const PARTS_AT_ONCE = 4;

/** Returns the bytes of a part, counted from 0. @param byteLength of all parts, if known: then all but the last are equal. */
export function partBytes(part: number, byteLength: number | undefined): number {
  if (byteLength === undefined) return PART_BYTES * 2 ** Math.floor(part / EQUAL_PARTS);
  return Math.max(PART_BYTES, Math.ceil(byteLength / MAX_PARTS / MIB) * MIB);
}

/** Yields copies of pieces as parts; a first part that is not full is the only one. */
export async function* partsOf(
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  byteLength?: number,
): AsyncGenerator<Uint8Array> {
  let chunks: Uint8Array[] = [];
  let part = 0;
  let missing = partBytes(part, byteLength);
  for await (const piece of pieces)
    for (let start = 0; start < piece.length; ) {
      const chunk = new Uint8Array(piece.subarray(start, start + missing)); // a copy
      chunks.push(chunk);
      start += chunk.length;
      missing -= chunk.length;
      if (missing > 0) continue;
      yield concatenate(chunks);
      chunks = [];
      missing = partBytes(++part, byteLength);
    }
  if (chunks.length || part === 0) yield concatenate(chunks);
}

/** An object that is uploaded. */
export interface Upload {
  readonly bucket: S3Bucket;
  readonly key: string;
  readonly metadata: Record<string, string>;
  readonly signal: AbortSignal | undefined;
  /** Under which it gets its name. */
  readonly condition: { readonly IfNoneMatch?: '*' };
}

interface Part {
  readonly PartNumber: number;
  readonly ETag?: string | undefined;
}

/**
 * Uploads an object in parts, a few at a time. If that fails it is aborted, so that the server frees the parts.
 * @throws {Refusal} when there is an object of that name.
 */
export async function uploadParts(upload: Upload, parts: AsyncIterable<Uint8Array>): Promise<void> {
  const { bucket, key, metadata: Metadata, signal, condition } = upload;
  const { UploadId } = await send(upload, (s3, options) =>
    s3.createMultipartUpload({ ...bucket.object(key), Metadata }, options),
  );
  const failed = new AbortController();
  const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
  const sent: Promise<Part>[] = [];
  const inFlight = new Set<Promise<unknown>>();
  try {
    for await (const body of parts) {
      either.throwIfAborted();
      const part = uploadPart({ ...upload, signal: either }, UploadId, sent.length + 1, body);
      sent.push(part);
      const settled: Promise<unknown> = part.then(
        () => inFlight.delete(settled),
        (error) => failed.abort(error),
      );
      inFlight.add(settled);
      if (inFlight.size >= PARTS_AT_ONCE) await Promise.race(inFlight);
    }
    const MultipartUpload = { Parts: await Promise.all(sent) };
    await send(upload, (s3, options) =>
      s3.completeMultipartUpload({ ...bucket.object(key), UploadId, MultipartUpload, ...condition }, options),
    );
  } catch (error) {
    failed.abort(error);
    await Promise.allSettled(sent); // a part that arrives later would stay
    await bucket
      .send({ action: 'AbortMultipartUpload', key }, (s3) =>
        s3.abortMultipartUpload({ ...bucket.object(key), UploadId }),
      )
      .catch(() => {}); // the first error says more
    throw error;
  }
}

async function uploadPart(
  upload: Upload,
  UploadId: string | undefined,
  PartNumber: number,
  Body: Uint8Array,
): Promise<Part> {
  const { bucket, key } = upload;
  const { ETag, ChecksumCRC32 } = await send(upload, (s3, options) =>
    s3.uploadPart({ ...bucket.object(key), UploadId, PartNumber, Body }, options),
  );
  bucket.traffic.writtenBytes += Body.length;
  return { PartNumber, ETag, ...(ChecksumCRC32 !== undefined && { ChecksumCRC32 }) };
}

function send<Answer>({ bucket, key, signal }: Upload, call: Call<Answer>): Promise<Answer> {
  return bucket.send({ action: 'PutObject', key, signal }, call);
}
