import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { IntegrityError, isInputError } from '../errors.js';
import { BUFFER_BYTES, type JobKind, type Jobs, RESULT_ROOM_BYTES, runJob } from './jobs.js';
import type { Answer, Request } from './worker.js';

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, { resolve(bytes: Uint8Array): void; reject(error: Error): void }>;
}

/**
 * Threads that run jobs, and the buffers that go round between them. A job's buffer is handed over, not copied: the caller
 * must not use it until the result, in the same memory, is back, and gives it back when done with that.
 */
export class Pool {
  private readonly threads: Thread[];
  private readonly free: ArrayBuffer[] = [];
  private nextId = 0;

  /** `threads`: 0 runs jobs on the calling thread, as they come; default: what the machine runs at once. */
  constructor(threads = availableParallelism()) {
    this.threads = Array.from({ length: threads }, startThread);
  }

  /** Jobs to keep under way: one running and one waiting a thread, so that none idles. */
  get depth(): number {
    return Math.max(1, this.threads.length * 2);
  }

  /** A buffer's first `length` bytes, to be filled; it has room for `room` bytes. */
  take(length: number, room = length): Uint8Array {
    const least = Math.max(length, room);
    if (least > BUFFER_BYTES) return new Uint8Array(new ArrayBuffer(least), 0, length);
    if (!this.threads.length) return new Uint8Array(new ArrayBuffer(least + RESULT_ROOM_BYTES), 0, length);
    return new Uint8Array(this.free.pop() ?? new ArrayBuffer(BUFFER_BYTES), 0, length);
  }

  /** Takes back the buffer of these bytes, if it is one that goes round. */
  give({ buffer }: Uint8Array): void {
    if (buffer.byteLength === BUFFER_BYTES) this.free.push(buffer as ArrayBuffer);
  }

  /** @throws {InputError} what the job throws. */
  run<Kind extends JobKind>(kind: Kind, job: Jobs[Kind]): Promise<Uint8Array> {
    if (!this.threads.length) return runHere(kind, job);
    const thread = this.threads.reduce((least, other) =>
      other.waiting.size < least.waiting.size ? other : least,
    );
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      thread.waiting.set(id, { resolve, reject });
      thread.worker.postMessage({ id, kind, job } satisfies Request, [job.bytes.buffer as ArrayBuffer]);
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.threads.map(({ worker }) => worker.terminate()));
  }
}

async function runHere<Kind extends JobKind>(kind: Kind, job: Jobs[Kind]): Promise<Uint8Array> {
  try {
    return runJob(kind, job);
  } catch (error) {
    throw isInputError(error) ? new IntegrityError(error.message) : error;
  }
}

function startThread(): Thread {
  const worker = new Worker(new URL('./worker.js', import.meta.url), { execArgv: [] });
  const thread: Thread = { worker, waiting: new Map() };
  worker.on('message', (answer: Answer) => {
    const { resolve, reject } = thread.waiting.get(answer.id)!;
    thread.waiting.delete(answer.id);
    if ('bytes' in answer) resolve(answer.bytes);
    else
      reject(answer.error.input ? new IntegrityError(answer.error.message) : new Error(answer.error.message));
  });
  worker.on('error', (error) => {
    for (const { reject } of thread.waiting.values()) reject(error);
    thread.waiting.clear();
  });
  return thread;
}

/**
 * Consumes what promises bring in the order of the promises, at most `depth` of them under way.
 * A rejection ends it once everything before it has been consumed.
 */
export class Ordered<T> {
  private readonly queue: Promise<T>[] = [];

  constructor(
    private readonly depth: number,
    private readonly consume: (result: T) => Promise<void> | void,
  ) {}

  /** Adds one; waits while more than `depth` are under way. */
  async add(promise: Promise<T>): Promise<void> {
    promise.catch(() => {}); // it is awaited later: not unhandled
    this.queue.push(promise);
    if (this.queue.length > this.depth) await this.consume(await this.queue.shift()!);
  }

  /** Waits for all. */
  async finish(): Promise<void> {
    for (let next = this.queue.shift(); next; next = this.queue.shift()) await this.consume(await next);
  }
}
