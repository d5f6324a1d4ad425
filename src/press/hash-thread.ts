import { createHash } from 'node:crypto';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

// SHA-256 runs at 2 GB/s on one core: beside reading, writing and a second digest it would be what `compress` waits
// for, so tensors are digested on a thread of their own. This module is both its two ends.

const ROLE = 'weightpress hash';

/** Takes digests of what it is handed, in order. */
export interface Hashing {
  /** Adds bytes; their buffer is handed over and comes back with the result. */
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
  private readonly worker = new Worker(new URL(import.meta.url), { workerData: ROLE, execArgv: [] });
  private readonly waiting: { resolve(answer: never): void; reject(error: Error): void }[] = [];

  constructor() {
    this.worker.on('message', (answer) => this.waiting.shift()!.resolve(answer as never));
    this.worker.on('error', (error) => {
      for (const { reject } of this.waiting.splice(0)) reject(error);
    });
  }

  update(bytes: Uint8Array): Promise<Uint8Array> {
    return this.ask(bytes, [bytes.buffer as ArrayBuffer]);
  }

  digest(): Promise<string> {
    return this.ask(undefined, []);
  }

  close(): Promise<number> {
    return this.worker.terminate();
  }

  private ask<T>(message: Uint8Array | undefined, transfer: ArrayBuffer[]): Promise<T> {
    const answer = new Promise<T>((resolve, reject) => this.waiting.push({ resolve, reject }));
    answer.catch(() => {}); // awaited later
    this.worker.postMessage(message, transfer);
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
