import { IntegrityError } from '../core/errors.js';
import { decodeFrame } from '../wpk/reader.js';
import type { DecodeAnswer, DecodeRequest, Ready } from './decode-worker.js';

/** A block to decode and its frame, which is not used after the call. */
export interface Decoding extends Pick<DecodeRequest, 'planned' | 'tensor' | 'side' | 'file'> {
  readonly frame: Uint8Array;
}

interface Waiting {
  /** Expected number of bytes of elements. */
  readonly length: number;
  resolve(elements: Uint8Array): void;
  reject(error: Error): void;
}

/** Maximum number of workers; with fewer, decoding is already faster than any download. */
const MAX_WORKERS = 4;
/** Buffer size, enough for most frames and most blocks. */
const BUFFER_BYTES = 2 ** 20;

/**
 * Decodes blocks in Web Workers, or on the calling thread until they are ready and if they cannot be loaded. Buffers are transferred to
 * the workers and back for reuse, because browsers are slow to collect transferred buffers.
 */
export class Workers {
  private readonly started: Worker[] = [];
  /** Workers that are ready. */
  private readonly workers: Worker[] = [];
  private readonly waiting = new Map<number, Waiting>();
  private readonly buffers: ArrayBuffer[] = [];
  private nextId = 0;

  constructor(count = Math.min(MAX_WORKERS, globalThis.navigator?.hardwareConcurrency ?? 1)) {
    try {
      for (let i = 0; i < count; i++) this.start();
    } catch {
      // unsupported, or the module has another origin
    }
  }

  /** Number of blocks to have in progress: one running and one queued per worker. */
  get depth(): number {
    return Math.max(1, this.workers.length) * 2;
  }

  /** Decodes a block. @returns its elements, to be passed to `reuse`. @throws {IntegrityError} when its checksum does not match. */
  async decode({ frame, planned, ...rest }: Decoding): Promise<Uint8Array> {
    if (!this.workers.length) return decodeFrame(frame, planned, rest.tensor, rest.side, rest.file).slice();
    const id = this.nextId++;
    const length = planned.endByte - planned.firstByte;
    const [buffer, into] = [this.buffer(frame.length), this.buffer(length)];
    new Uint8Array(buffer).set(frame);
    const request: DecodeRequest = { id, frame: buffer, frameBytes: frame.length, into, planned, ...rest };
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { length, resolve, reject });
      this.workers[id % this.workers.length]!.postMessage(request, [buffer, into]);
    });
  }

  /** Takes back the memory of elements. */
  reuse({ buffer }: Uint8Array): void {
    if (this.workers.length) this.buffers.push(buffer as ArrayBuffer);
  }

  close(): void {
    this.end('decoding was stopped');
  }

  private start(): void {
    const worker = new Worker(new URL('./decode-worker.js', import.meta.url), { type: 'module' });
    worker.onmessage = ({ data }: { data: DecodeAnswer | Ready }) => {
      if (data === 'ready') this.workers.push(worker);
      else this.answered(data);
    };
    worker.onerror = ({ message }) => this.end(`a worker that decodes has ended: ${message}`);
    this.started.push(worker);
  }

  /** Returns a buffer, reused if one is large enough. */
  private buffer(length: number): ArrayBuffer {
    const found = this.buffers.findIndex(({ byteLength }) => byteLength >= length);
    if (found >= 0) return this.buffers.splice(found, 1)[0]!;
    this.buffers.shift(); // drops one that is too small, so that their number does not grow
    return new ArrayBuffer(Math.max(length, BUFFER_BYTES));
  }

  private answered({ id, frame, into, problem }: DecodeAnswer): void {
    const waiting = this.waiting.get(id);
    if (!waiting) return; // already stopped
    this.waiting.delete(id);
    this.buffers.push(frame);
    if (!problem) waiting.resolve(new Uint8Array(into, 0, waiting.length));
    else waiting.reject(problem.input ? new IntegrityError(problem.message) : new Error(problem.message));
  }

  /** Stops the workers and rejects waiting blocks; later blocks are decoded on the calling thread. */
  private end(message: string): void {
    for (const worker of this.started.splice(0)) worker.terminate();
    this.workers.length = 0;
    for (const { reject } of this.waiting.values()) reject(new Error(message));
    this.waiting.clear();
  }
}
