import { availableParallelism } from 'node:os';
import { movedBuffers } from '../buffers.js';
import { callingThread } from '../calling-thread.js';
import { Pool } from '../pool.js';
import type { PoolWorker } from '../protocol.js';
import { type HashJobs, hashJobs } from './hash-jobs.js';
import { startThread } from './thread.js';

/** Smaller pieces are collected first, because sending a message takes longer than digesting them. */
const SMALL_BYTES = 2 ** 15;
const COLLECTED_BYTES = 2 ** 18;

/**
 * Computes SHA-256 digests on a separate thread, of bytes in the order in which they are added. SHA-256 runs at 2 GB/s on one
 * core; on the main thread, with reading, writing and a second digest, it would be the bottleneck.
 */
export class Hashing {
  private readonly collected = new Uint8Array(COLLECTED_BYTES);
  private count = 0;
  /** Settles when the last job sent so far is done. */
  private last: Promise<unknown> = Promise.resolve();
  /** No limit of jobs: a single worker, which starts with the first of them, runs them in order. */
  private readonly pool = new Pool<HashJobs>(Number.POSITIVE_INFINITY);

  /** @param threads 0: digests are computed on the calling thread. */
  constructor(private readonly threads?: number) {}

  /** Adds bytes. Their buffer, unless shared, may be moved, and is returned with the result. Errors are also thrown by `digest`, so callers need not wait. */
  update(bytes: Uint8Array): Promise<Uint8Array> {
    const updated = this.add(bytes);
    updated.catch(() => {});
    return updated;
  }

  /** Returns the SHA-256, hexadecimal, of the bytes added since the last digest. */
  digest(): Promise<string> {
    this.flush();
    return this.run('digest', undefined);
  }

  close(): Promise<void> {
    return this.pool.close();
  }

  private async add(bytes: Uint8Array): Promise<Uint8Array> {
    if (this.count + bytes.length > COLLECTED_BYTES) this.flush();
    if (bytes.length >= SMALL_BYTES) {
      this.flush();
      return this.run('update', bytes);
    }
    this.collected.set(bytes, this.count);
    this.count += bytes.length;
    await this.last; // so that updates resolve in order
    return bytes;
  }

  /** Sends the collected bytes to the worker. */
  private flush(): void {
    if (this.count) this.run('update', this.collected.slice(0, this.count));
    this.count = 0;
  }

  private run<Kind extends keyof HashJobs>(kind: Kind, bytes: Parameters<HashJobs[Kind]>[0]) {
    if (!this.pool.count) this.pool.add(this.start());
    const done = this.pool.run(kind, bytes as never, bytes ? movedBuffers([bytes]) : []);
    this.last = done.catch(() => {}); // awaited later
    return done;
  }

  private start(): PoolWorker {
    if (this.threads === 0) return callingThread(hashJobs());
    return startThread(new URL('./hash-thread.js', import.meta.url));
  }
}

/** Digests of whole files and of tensors, which contain the same bytes. */
export interface Digests {
  readonly fileHash: Hashing;
  readonly tensorHash: Hashing;
}

/**
 * Starts both digests. Beside two other threads or fewer, that of files runs on the calling thread, which has little else to do: one more
 * thread would only take turns with the others.
 */
export function startDigests(threads = availableParallelism()): Digests {
  return { fileHash: new Hashing(threads > 2 ? threads : 0), tensorHash: new Hashing(threads) };
}
