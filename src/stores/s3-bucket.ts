import type { S3 } from '@aws-sdk/client-s3';
import { createClient, renewCredentials } from './s3-client.js';
import { isExpired, isMissing, isOutside, plainError, refusalOf, transientReason } from './s3-errors.js';
import type { Traffic } from './store.js';
import { Tries } from './tries.js';

/** Where objects are in S3. */
export interface S3Place {
  readonly bucket: string;
  /** Start of all keys: empty, or ends with `/`. */
  readonly prefix: string;
}

/** One request of the SDK. */
export type Call<Answer> = (s3: S3, options: { readonly abortSignal?: AbortSignal }) => Promise<Answer>;

/** What a request is for. */
export interface RequestFor {
  /** What has to be allowed: `PutObject`. */
  readonly action: string;
  /** Name of the object, for messages. */
  readonly key?: string;
  readonly signal?: AbortSignal | undefined;
  /** Counts failures; by default those of this request alone. */
  readonly tries?: Tries;
}

/** What a server knows of an object. */
export interface ObjectHead {
  readonly bytes: number;
  /** The writer that it was written by. */
  readonly writer: string | undefined;
}

/** A part of a bucket. Requests are sent again while the server fails. */
export class S3Bucket {
  readonly traffic: Traffic = { readBytes: 0, writtenBytes: 0 };
  /** Address, for messages. */
  readonly name: string;

  private constructor(
    private readonly client: S3,
    private readonly place: S3Place,
  ) {
    this.name = addressOf(place);
  }

  /** Connects to a server. @throws {InputError} when package, region or credentials are missing. */
  static async connect(place: S3Place): Promise<S3Bucket> {
    return new S3Bucket(await createClient(place.bucket, addressOf(place)), place);
  }

  /** Start of all keys. */
  get prefix(): string {
    return this.place.prefix;
  }

  /** Returns the fields that name an object in a request. */
  object(key: string) {
    return { Bucket: this.place.bucket, Key: this.prefix + key };
  }

  /** Returns the fields that name the objects in a request whose keys start with `prefix`. */
  objects(prefix: string) {
    return { Bucket: this.place.bucket, Prefix: this.prefix + prefix };
  }

  /** Returns what messages call an object. */
  nameOf(key: string): string {
    return `${this.name}/${key}`;
  }

  /**
   * Sends a request. Credentials that have expired are asked for again, once.
   * @throws {Refusal} when the server refuses. @throws {ConnectionError} when all tries fail.
   */
  async send<Answer>(about: RequestFor, call: Call<Answer>): Promise<Answer> {
    const { action, key, signal } = about;
    const place = { file: key === undefined ? this.name : this.nameOf(key) };
    const tries = about.tries ?? new Tries(place, signal);
    const refused = (error: unknown) => refusalOf(error, action, this.place.bucket, place);
    for (let isRenewed = false; ; ) {
      signal?.throwIfAborted();
      try {
        return await call(this.client, signal ? { abortSignal: signal } : {});
      } catch (error) {
        signal?.throwIfAborted();
        const reason = transientReason(error);
        if (reason !== undefined) await tries.next(reason, plainError(error));
        else if (!isExpired(error) || isRenewed) throw refused(error);
        else {
          isRenewed = true;
          await renewCredentials(this.client).catch((failure) => {
            throw refused(failure);
          });
        }
      }
    }
  }

  /** Returns what the server knows of an object; undefined if there is none. */
  async head(key: string, signal?: AbortSignal): Promise<ObjectHead | undefined> {
    // a byte of it, because the answer to a HEAD request cannot say what is wrong
    const asked = { ...this.object(key), Range: 'bytes=0-0' };
    try {
      return await this.sendIfThere({ action: 'GetObject', key, signal }, async (s3, options) => {
        const { ContentRange, ContentLength = 0, Metadata, Body } = await s3.getObject(asked, options);
        await Body?.transformToByteArray();
        const bytes = Number(/\/(\d+)$/.exec(ContentRange ?? '')?.[1] ?? ContentLength);
        return { bytes, writer: Metadata?.writer };
      });
    } catch (error) {
      if (isOutside(error)) return { bytes: 0, writer: undefined }; // an empty object has no byte
      throw error;
    }
  }

  /** Sends a request; returns undefined if what it is about is not there. @throws as {@link send}. */
  async sendIfThere<Answer>(about: RequestFor, call: Call<Answer>): Promise<Answer | undefined> {
    try {
      return await this.send(about, call);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  close(): void {
    this.client.destroy();
  }
}

const addressOf = ({ bucket, prefix }: S3Place) => `s3://${bucket}/${prefix}`.replace(/\/$/, '');
