import type { Hash } from 'node:crypto';
import { type ByteSource, checkRange } from '../../core/byte-source.js';
import { ConnectionError, InputError, IntegrityError } from '../../core/errors.js';
import { fetchBytes, type HttpFile, HttpSource } from '../http.js';

/** Contiguous reads must total this many bytes to start a streaming request. */
const MIN_RUN_BYTES = 2 ** 16;
/** A gap up to this size is read and dropped instead of starting a new request. */
const MAX_SKIPPED_BYTES = 2 ** 16;

/** A gap up to this size is read again, so that the digest stays complete. */
const MAX_CAUGHT_UP_BYTES = 2 ** 20;

/** A response that streams the file from some offset to its end. */
interface Run {
  readonly chunks: AsyncGenerator<Uint8Array>;
  /** Offset of the next byte to be consumed. */
  at: number;
  /** Bytes received and not consumed yet. */
  left: Uint8Array;
}

/**
 * A file on a server that is mostly read from front to back. Consecutive reads share one streaming request; others are separate range
 * requests. Bytes read in order are hashed on the way, so that `verify` can compare the file's digest. Reads are queued.
 */
export class SequentialSource implements ByteSource {
  private readonly ranges: HttpSource;
  private digestedBytes = 0;
  private run: Run | undefined;
  private lastEnd = 0;
  /** Offset at which the current series of contiguous reads began. */
  private streakStart = 0;
  private queue: Promise<unknown> = Promise.resolve();
  private failure: ConnectionError | undefined;

  /** @param digest hash that is updated with the file. @param expected its final value, hexadecimal. */
  constructor(
    private readonly file: HttpFile,
    private readonly digest: Hash,
    private readonly expected: string,
  ) {
    this.ranges = new HttpSource(file);
  }

  get name(): string {
    return this.file.name;
  }

  get byteLength(): number {
    return this.file.byteLength;
  }

  read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = this.queue.then(() => {
      if (this.failure) throw this.failure; // queued reads do not retry again
      return this.readNow(start, end, signal);
    });
    this.queue = bytes.catch((error) => {
      if (error instanceof ConnectionError) this.failure = error;
    });
    return bytes;
  }

  /** Reads the rest of the file and checks its digest. @throws {IntegrityError} when it does not match. */
  async verify(signal?: AbortSignal): Promise<void> {
    for (let at = this.digestedBytes; at < this.byteLength; at = this.digestedBytes)
      await this.read(at, Math.min(this.byteLength, at + 2 ** 20), signal);
    const found = this.digest.copy().digest('hex');
    if (found !== this.expected)
      throw new IntegrityError(
        `expected digest ${this.expected}, found ${found}: the file was changed or damaged`,
        { file: this.name },
      );
  }

  async close(): Promise<void> {
    await this.queue;
    await this.endRun();
  }

  private async readNow(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
    checkRange(this, start, end);
    if (start !== this.lastEnd) this.streakStart = start;
    const follows = start >= this.lastEnd && start - this.lastEnd <= MAX_SKIPPED_BYTES;
    const run = follows ? await this.runFor(start, end) : undefined;
    if (run) await this.take(run, start - run.at, signal);
    const bytes = run
      ? await this.take(run, end - start, signal)
      : await this.ranges.read(start, end, signal);
    if (!run) this.pass(bytes, start);
    this.lastEnd = end;
    return bytes;
  }

  /** Returns the streaming request for a read that follows the last one: the current one or, for enough bytes, a new one. */
  private async runFor(start: number, end: number): Promise<Run | undefined> {
    if (this.run?.at === this.lastEnd) return this.run;
    if (end - this.streakStart < MIN_RUN_BYTES) return;
    await this.endRun();
    // a small gap before the read is included, so that the digest stays complete
    const behind = start - this.digestedBytes;
    const at = behind >= 0 && behind <= MAX_CAUGHT_UP_BYTES ? this.digestedBytes : this.lastEnd;
    this.run = { chunks: fetchBytes(this.file, at, this.byteLength), at, left: new Uint8Array(0) };
    return this.run;
  }

  /** Reads the next `length` bytes of a run. */
  private async take(run: Run, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    for (let have = 0; have < length; ) {
      signal?.throwIfAborted();
      if (!run.left.length) {
        const { done, value } = await run.chunks.next();
        if (done) throw new InputError('the connection was closed', { file: this.name, start: run.at });
        run.left = value;
      }
      const part = run.left.subarray(0, length - have);
      bytes.set(part, have);
      have += part.length;
      run.left = run.left.subarray(part.length);
    }
    this.pass(bytes, run.at);
    run.at += length;
    return bytes;
  }

  private pass(bytes: Uint8Array, start: number): void {
    const end = start + bytes.length;
    if (start > this.digestedBytes || end <= this.digestedBytes) return;
    this.digest.update(bytes.subarray(this.digestedBytes - start));
    this.digestedBytes = end;
  }

  private async endRun(): Promise<void> {
    await this.run?.chunks.return(undefined);
    this.run = undefined;
  }
}
