import { createHash } from 'node:crypto';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { Thread } from './thread.js';

// SHA-256 runs at 2 GB/s on one core: beside reading, writing and a second digest it would be what `compress` waits
// for, so tensors are digested on a thread of their own. This module is both its two ends.

const ROLE = 'weightpress hash';

/** Smaller pieces are gathered: a message takes longer than their digest. */
const SMALL_BYTES = 2 ** 15;
const GATHERED_BYTES = 2 ** 18;

/** A thread that takes digests of what it is handed, in order. */
export class HashThread {
  private readonly gathered = new Uint8Array(GATHERED_BYTES);
  private count = 0;
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

  /** Adds bytes; their buffer may be handed over, and comes back with the result. */
  async update(bytes: Uint8Array): Promise<Uint8Array> {
    if (this.count + bytes.length > GATHERED_BYTES) this.flush();
    if (bytes.length >= SMALL_BYTES) {
      this.flush();
      return this.ask(bytes, [bytes.buffer as ArrayBuffer]);
    }
    this.gathered.set(bytes, this.count);
    this.count += bytes.length;
    return bytes;
  }

  /** The SHA-256, in hexadecimal, of what was added since the last digest. */
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
    answer.catch(() => {}); // awaited later
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
