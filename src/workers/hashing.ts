import { createHash } from 'node:crypto';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { Thread } from './thread.js';

// SHA-256 runs at 2 GB/s on one core: beside reading, writing and a second digest it would be what `compress` waits
// for, so tensors are digested on a thread of their own. This module is both its two ends.

const ROLE = 'weightpress hash';

/** Smaller pieces are gathered: a message takes longer than their digest. */
const SMALL_BYTES = 2 ** 15;
const GATHERED_BYTES = 2 ** 18;

/** Takes digests of what it is handed, in order. */
export interface Hashing {
  /** Adds bytes; their buffer may be handed over, and comes back with the result. */
  update(bytes: Uint8Array): Promise<Uint8Array>;
  /** The SHA-256, in hexadecimal, of what was added since the last digest. */
  digest(): Promise<string>;
  close(): Promise<unknown>;
}

/** A thread of its own for digests; none where `threads` is 0. */
export function startHashing(threads?: number): Hashing {
  return threads === 0 ? new HashHere() : new HashThread();
}

class HashHere implements Hashing {
  private hash = createHash('sha256');

  async update(bytes: Uint8Array): Promise<Uint8Array> {
    this.hash.update(bytes);
    return bytes;
  }

  async digest(): Promise<string> {
    const digest = this.hash.digest('hex');
    this.hash = createHash('sha256');
    return digest;
  }

  async close(): Promise<void> {}
}

class HashThread implements Hashing {
  private readonly gathered = new Uint8Array(GATHERED_BYTES);
  private count = 0;
  /** Settles when all that was handed on is digested. */
  private last: Promise<unknown> = Promise.resolve();
  private readonly waiting: { resolve(answer: never): void; reject(error: Error): void }[] = [];
  private readonly thread = new Thread(
    new URL(import.meta.url),
    (error) => {
      for (const { reject } of this.waiting.splice(0)) reject(error);
    },
    { workerData: ROLE },
  );

  constructor() {
    this.thread.worker.on('message', (answer) => this.waiting.shift()!.resolve(answer as never));
  }

  async update(bytes: Uint8Array): Promise<Uint8Array> {
    if (this.count + bytes.length > GATHERED_BYTES) this.flush();
    if (bytes.length >= SMALL_BYTES) {
      this.flush();
      return this.ask(bytes, [bytes.buffer as ArrayBuffer]);
    }
    this.gathered.set(bytes, this.count);
    this.count += bytes.length;
    await this.last; // who waits for one after another gets them one after another
    return bytes;
  }

  digest(): Promise<string> {
    this.flush();
    return this.ask(undefined, []);
  }

  /** Hands on what was gathered. */
  private flush(): void {
    if (this.count) this.ask(this.gathered.slice(0, this.count), []);
    this.count = 0;
  }

  close(): Promise<void> {
    return this.thread.stop();
  }

  private ask<T>(message: Uint8Array | undefined, transfer: ArrayBuffer[]): Promise<T> {
    const answer = new Promise<T>((resolve, reject) => {
      if (this.thread.failure) throw this.thread.failure;
      this.waiting.push({ resolve, reject });
      this.thread.worker.postMessage(message, transfer);
    });
    this.last = answer.catch(() => {}); // awaited later
    return answer;
  }
}

if (!isMainThread && workerData === ROLE) {
  let hash = createHash('sha256');
  parentPort!.on('message', (bytes: Uint8Array | undefined) => {
    if (bytes) {
      hash.update(bytes);
      parentPort!.postMessage(bytes, [bytes.buffer as ArrayBuffer]);
    } else {
      parentPort!.postMessage(hash.digest('hex'));
      hash = createHash('sha256');
    }
  });
}
