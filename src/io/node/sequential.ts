import type { Hash } from 'node:crypto';
import { type ByteSource, checkRange } from '../../core/byte-source.js';
import { ConnectionError, InputError, IntegrityError } from '../../core/errors.js';
import { fetchBytes, type HttpFile, HttpSource } from '../http.js';

/** Reads that follow each other without a gap and together have fewer bytes do not begin a run. */
const MIN_RUN_BYTES = 2 ** 16;
/** What is skipped within a run is read over rather than asked for anew. */
const MAX_SKIPPED_BYTES = 2 ** 16;

/** What may be read again for the sake of the digest. */
const MAX_CAUGHT_UP_BYTES = 2 ** 20;

/** A connection that sends the file from somewhere on. */
interface Run {
  readonly chunks: AsyncGenerator<Uint8Array>;
  /** The next byte that is taken. */
  at: number;
  /** What has come and was not taken yet. */
  left: Uint8Array;
}

/**
 * A file on a server that is mostly read from front to back: reads that follow each other come from one connection, others are
 * requests of their own. What passes in order is digested on the way, so that in the end the file is known to be the one published.
 * Reads are done one after another.
 */
export class SequentialSource implements ByteSource {
  private readonly ranges: HttpSource;
  private digestedBytes = 0;
  private run: Run | undefined;
  private lastEnd = 0;
  /** Where reads without a gap between them began. */
  private streakStart = 0;
  private queue: Promise<unknown> = Promise.resolve();
  private gone: ConnectionError | undefined;

  /** @param digest to be fed with the file. @param expected what it comes to, hexadecimal. */
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
      if (this.gone) throw this.gone; // reads ahead need not try as long again
      return this.readNow(start, end, signal);
    });
    this.queue = bytes.catch((error) => {
      if (error instanceof ConnectionError) this.gone = error;
    });
    return bytes;
  }

  /** Reads what has not passed yet. @throws {IntegrityError} when the file is not the one published. */
  async verify(signal?: AbortSignal): Promise<void> {
    for (let at = this.digestedBytes; at < this.byteLength; at = this.digestedBytes)
      await this.read(at, Math.min(this.byteLength, at + 2 ** 20), signal);
    const found = this.digest.copy().digest('hex');
    if (found !== this.expected)
      throw new IntegrityError(
        `expected the content ${this.expected}, found ${found}: it was changed or damaged`,
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

  /** The run that a read which follows the last one is of: that under way, or, if it is large enough, a new one. */
  private async runFor(start: number, end: number): Promise<Run | undefined> {
    if (this.run?.at === this.lastEnd) return this.run;
    if (end - this.streakStart < MIN_RUN_BYTES) return;
    await this.endRun();
    // where little was skipped so far, it is read now, so that the digest goes on
    const behind = start - this.digestedBytes;
    const at = behind >= 0 && behind <= MAX_CAUGHT_UP_BYTES ? this.digestedBytes : this.lastEnd;
    this.run = { chunks: fetchBytes(this.file, at, this.byteLength), at, left: new Uint8Array(0) };
    return this.run;
  }

  /** The next bytes of the run. */
  private async take(run: Run, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    for (let have = 0; have < length; ) {
      signal?.throwIfAborted();
      if (!run.left.length) {
        const { done, value } = await run.chunks.next();
        if (done) throw new InputError('the connection was given up', { file: this.name, start: run.at });
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
