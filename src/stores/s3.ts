import { randomUUID } from 'node:crypto';
import { InputError } from '../core/errors.js';
import { checkKey, checkPrefix, isKey, UNFINISHED } from './key.js';
import { S3Bucket, type S3Place } from './s3-bucket.js';
import { readObject } from './s3-read.js';
import { PART_BYTES } from './s3-upload.js';
import { writeObject } from './s3-write.js';
import type { Store, StoredObject, Traffic } from './store.js';

/** The objects of a bucket whose keys have a prefix. */
export class S3Store implements Store {
  private constructor(private readonly bucket: S3Bucket) {}

  /** Opens a bucket, and writes, reads and removes a small object. @throws {InputError} when something of that fails. */
  static async open(place: S3Place, signal?: AbortSignal): Promise<S3Store> {
    const bucket = await S3Bucket.connect(place);
    try {
      await tryAll(bucket, signal);
      return new S3Store(bucket);
    } catch (error) {
      bucket.close();
      throw error;
    }
  }

  get name(): string {
    return this.bucket.name;
  }

  get traffic(): Traffic {
    return this.bucket.traffic;
  }

  async size(key: string, signal?: AbortSignal): Promise<number | undefined> {
    checkKey(key);
    return (await this.bucket.head(key, signal))?.bytes;
  }

  async read(key: string, start = 0, end?: number, signal?: AbortSignal): Promise<Uint8Array> {
    checkKey(key);
    const isRange = start !== 0 || end !== undefined;
    if (!isRange || (start >= 0 && end !== undefined && start < end))
      return readObject(this.bucket, key, start, end, signal);
    // a range that is open or empty cannot be asked for as it is
    const place = { file: this.bucket.nameOf(key) };
    const length = await this.size(key, signal);
    if (length === undefined) throw new InputError('no such object', place);
    const last = end ?? length;
    if (!(start >= 0 && start <= last && last <= length))
      throw new InputError(`range is outside the ${length} bytes`, { ...place, start, end: last });
    return start === last ? new Uint8Array() : readObject(this.bucket, key, start, last, signal);
  }

  async write(
    key: string,
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
    byteLength?: number,
    isReplacing = false,
  ): Promise<boolean> {
    checkKey(key);
    const isLarge = !isReplacing && byteLength !== undefined && byteLength >= PART_BYTES;
    if (isLarge && (await this.size(key, signal)) !== undefined) return false; // it would be sent in vain
    return writeObject(this.bucket, key, pieces, { signal, byteLength, isReplacing });
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<StoredObject> {
    checkPrefix(prefix);
    const { bucket } = this;
    let ContinuationToken: string | undefined;
    do {
      const page = await bucket.send({ action: 'ListBucket', signal }, (s3, options) =>
        s3.listObjectsV2({ ...bucket.objects(prefix), ContinuationToken }, options),
      );
      for (const { Key = '', Size = 0 } of page.Contents ?? []) {
        const key = Key.slice(bucket.prefix.length);
        if (isKey(key)) yield { key, bytes: Size };
      }
      ContinuationToken = page.NextContinuationToken;
    } while (ContinuationToken !== undefined);
  }

  async remove(key: string): Promise<void> {
    checkKey(key);
    await removeObject(this.bucket, key);
  }

  async sweep(ageMs: number): Promise<number> {
    const { bucket } = this;
    let removed = 0;
    let from: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | undefined = {};
    while (from) {
      const page = await bucket.send({ action: 'ListBucketMultipartUploads' }, (s3) =>
        s3.listMultipartUploads({ ...bucket.objects(''), ...from }),
      );
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (!Key?.startsWith(bucket.prefix) || !Initiated || Date.now() - Initiated.getTime() <= ageMs)
          continue;
        const upload = { ...bucket.object(Key.slice(bucket.prefix.length)), UploadId };
        const about = { action: 'AbortMultipartUpload' };
        // another machine may sweep too
        if (await bucket.sendIfThere(about, (s3) => s3.abortMultipartUpload(upload))) removed++;
      }
      const { IsTruncated, NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page;
      from = IsTruncated ? { KeyMarker, UploadIdMarker } : undefined;
    }
    return removed;
  }

  async close(): Promise<void> {
    this.bucket.close();
  }
}

async function removeObject(bucket: S3Bucket, key: string): Promise<void> {
  await bucket.sendIfThere({ action: 'DeleteObject', key }, (s3) => s3.deleteObject(bucket.object(key)));
}

/** Does once what a store is used for. @throws {InputError} when the server refuses it, or replaces objects. */
async function tryAll(bucket: S3Bucket, signal: AbortSignal | undefined): Promise<void> {
  await bucket.send({ action: 'ListBucket', signal }, (s3, options) =>
    s3.listObjectsV2({ ...bucket.objects(''), MaxKeys: 1 }, options),
  );
  const key = `probe-${randomUUID()}${UNFINISHED}`;
  const content = Uint8Array.of(1, 2, 3);
  await writeObject(bucket, key, [content], { signal });
  try {
    await readObject(bucket, key, 0, content.length, signal);
    if (await writeObject(bucket, key, [content], { signal }))
      throw new InputError('the server replaces objects, although requests ask it not to (If-None-Match)', {
        file: bucket.name,
      });
  } finally {
    await removeObject(bucket, key);
  }
  Object.assign(bucket.traffic, { readBytes: 0, writtenBytes: 0 });
}
