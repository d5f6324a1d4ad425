import { decodeFrame } from '../container/reader.js';
import { IntegrityError } from '../errors.js';
import type { DecodeAnswer, DecodeRequest } from './decode-worker.js';

type Waiting = { resolve(elements: Uint8Array): void; reject(error: Error): void };

/** Most workers that are started: decoding is faster than any download with fewer. */
const MOST_WORKERS = 4;

/**
 * Decodes blocks in Web Workers, or, where there are none, on the calling thread. A frame that is handed over must not be used after.
 */
export class Workers {
  private readonly workers: Worker[] = [];
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 0;

  constructor(count = Math.min(MOST_WORKERS, globalThis.navigator?.hardwareConcurrency ?? 1)) {
    if (typeof Worker === 'undefined') return;
    for (let i = 0; i < count; i++) {
      const worker = new Worker(new URL('./decode-worker.js', import.meta.url), { type: 'module' });
      worker.onmessage = ({ data }: { data: DecodeAnswer }) => this.answered(data);
      worker.onerror = ({ message }) => this.failed(message);
      this.workers.push(worker);
    }
  }

  /** Blocks to keep under way: one running and one waiting a worker. */
  get depth(): number {
    return Math.max(1, this.workers.length) * 2;
  }

  /** @throws {IntegrityError} on a block that is not what it was. */
  async decode(request: Omit<DecodeRequest, 'id'>): Promise<Uint8Array> {
    const { frame, planned, tensor, side, file } = request;
    if (!this.workers.length) return decodeFrame(frame, planned, tensor, side, file).slice();
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      const message: DecodeRequest = { ...request, id };
      this.workers[id % this.workers.length]!.postMessage(message, [frame.buffer as ArrayBuffer]);
    });
  }

  close(): void {
    for (const worker of this.workers) worker.terminate();
    this.failed('decoding was ended');
  }

  private answered(answer: DecodeAnswer): void {
    const { resolve, reject } = this.waiting.get(answer.id)!;
    this.waiting.delete(answer.id);
    if ('elements' in answer) resolve(answer.elements);
    else reject(answer.input ? new IntegrityError(answer.message) : new Error(answer.message));
  }

  private failed(message: string): void {
    for (const { reject } of this.waiting.values()) reject(new Error(message));
    this.waiting.clear();
  }
}
