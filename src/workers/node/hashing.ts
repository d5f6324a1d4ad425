import { callingThread } from '../calling-thread.js';
import { Pool } from '../pool.js';
import { type HashJobs, hashJobs } from './hash-jobs.js';
import { startThread } from './thread.js';

/** Smaller pieces are gathered: a message takes longer than their digest. */
const SMALL_BYTES = 2 ** 15;
const GATHERED_BYTES = 2 ** 18;

/**
 * Takes digests of bytes in the order in which they are added, on a thread of its own: SHA-256 runs at 2 GB/s on one core,
 * so beside reading, writing and a second digest it would be what the main thread spends its time on.
 */
export class Hashing {
  private readonly gathered = new Uint8Array(GATHERED_BYTES);
  private count = 0;
  /** Settles when all that was handed on is digested. */
  private last: Promise<unknown> = Promise.resolve();
  /** One worker runs jobs in order, however many it is handed. */
  private readonly pool = new Pool<HashJobs>(Number.POSITIVE_INFINITY);

  /** @param threads 0: digests are taken on the calling thread. */
  constructor(threads?: number) {
    const worker =
      threads === 0 ? callingThread(hashJobs()) : startThread(new URL('./hash-thread.js', import.meta.url));
    this.pool.add(worker);
  }

  /** Adds bytes; their buffer may be moved, and comes back with the result. Whoever does not wait learns of errors from `digest`. */
  update(bytes: Uint8Array): Promise<Uint8Array> {
    const updated = this.add(bytes);
    updated.catch(() => {});
    return updated;
  }

  /** Returns the SHA-256, hexadecimal, of what was added since the last one. */
  digest(): Promise<string> {
    this.flush();
    return this.run('digest', undefined);
  }

  close(): Promise<void> {
    return this.pool.close();
  }

  private async add(bytes: Uint8Array): Promise<Uint8Array> {
    if (this.count + bytes.length > GATHERED_BYTES) this.flush();
    if (bytes.length >= SMALL_BYTES) {
      this.flush();
      return this.run('update', bytes);
    }
    this.gathered.set(bytes, this.count);
    this.count += bytes.length;
    await this.last; // whoever waits for one after another gets them one after another
    return bytes;
  }

  /** Hands on what was gathered. */
  private flush(): void {
    if (this.count) this.run('update', this.gathered.slice(0, this.count));
    this.count = 0;
  }

  private run<Kind extends keyof HashJobs>(kind: Kind, bytes: Parameters<HashJobs[Kind]>[0]) {
    const done = this.pool.run(kind, bytes as never, bytes ? [bytes.buffer as ArrayBuffer] : []);
    this.last = done.catch(() => {}); // awaited later
    return done;
  }
}
