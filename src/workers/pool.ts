import { availableParallelism } from 'node:os';
import { IntegrityError, isInputError } from '../core/errors.js';
import { BUFFER_BYTES, type JobKind, type Jobs, RESULT_ROOM_BYTES, runJob } from '../wpk/jobs.js';
import type { Answer, Request } from '../wpk/worker.js';
import { Thread } from './thread.js';

/** Jobs on fewer bytes take less time than the message to a thread. */
const SMALL_BYTES = 2 ** 12;

/** What a frame decodes to counts, not the frame: of a lossy block, few bytes can be much work. */
function isSmall(job: Jobs[JobKind]): boolean {
  const decoded = 'planned' in job ? job.planned.endByte - job.planned.firstByte : 0;
  return Math.max(job.bytes.length, decoded) <= SMALL_BYTES;
}

interface Member {
  readonly thread: Thread;
  readonly waiting: Map<number, { resolve(bytes: Uint8Array): void; reject(error: Error): void }>;
}

/**
 * Threads that run jobs, and the buffers that go round between them. A job's buffer is handed over, not copied: the caller
 * must not use it until the result, in the same memory, is back, and gives it back when done with that.
 */
export class Pool {
  private readonly members: Member[];
  private readonly free: ArrayBuffer[] = [];
  private nextId = 0;

  /** `threads`: 0 runs jobs on the calling thread, as they come; default: what the machine runs at once. */
  constructor(threads = availableParallelism()) {
    this.members = Array.from({ length: threads }, startMember);
  }

  /** Jobs to keep under way: one running and one waiting a thread, so that none idles. */
  get depth(): number {
    return Math.max(1, this.members.length * 2);
  }

  /** A buffer's first `length` bytes, to be filled; it has room for `room` bytes. */
  take(length: number, room = length): Uint8Array {
    const least = Math.max(length, room);
    if (least > BUFFER_BYTES) return new Uint8Array(new ArrayBuffer(least), 0, length);
    if (!this.members.length) return new Uint8Array(new ArrayBuffer(least + RESULT_ROOM_BYTES), 0, length);
    return new Uint8Array(this.free.pop() ?? new ArrayBuffer(BUFFER_BYTES), 0, length);
  }

  /** Takes back the buffer of these bytes, if it is one that goes round. */
  give({ buffer }: Uint8Array): void {
    if (buffer.byteLength === BUFFER_BYTES) this.free.push(buffer as ArrayBuffer);
  }

  /** Runs a job on a thread, a small one at once. @throws {InputError} what the job throws. @throws {Error} when a thread has ended by itself. */
  async run<Kind extends JobKind>(kind: Kind, job: Jobs[Kind]): Promise<Uint8Array> {
    if (!this.members.length || isSmall(job)) return runHere(kind, job);
    const { thread, waiting } = this.members.reduce((least, other) =>
      other.waiting.size < least.waiting.size ? other : least,
    );
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      if (thread.failure) throw thread.failure;
      waiting.set(id, { resolve, reject });
      thread.worker.postMessage({ id, kind, job } satisfies Request, [job.bytes.buffer as ArrayBuffer]);
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.members.map(({ thread }) => thread.stop()));
  }
}

async function runHere<Kind extends JobKind>(kind: Kind, job: Jobs[Kind]): Promise<Uint8Array> {
  try {
    return runJob(kind, job);
  } catch (error) {
    throw isInputError(error) ? new IntegrityError(error.message) : error;
  }
}

function startMember(): Member {
  const waiting: Member['waiting'] = new Map();
  const thread = new Thread(new URL('../wpk/worker.js', import.meta.url), (error) => {
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  });
  thread.worker.on('message', (answer: Answer) => {
    const { resolve, reject } = waiting.get(answer.id)!;
    waiting.delete(answer.id);
    if ('bytes' in answer) resolve(answer.bytes);
    else
      reject(answer.error.input ? new IntegrityError(answer.error.message) : new Error(answer.error.message));
  });
  return { thread, waiting };
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
