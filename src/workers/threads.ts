import { availableParallelism } from 'node:os';
import { InputError } from '../core/errors.js';
import '../onnx/node/no-telemetry.js';
import { Thread } from './thread.js';

/** What a thread is asked, and what it answers. */
export interface Request<Job> {
  readonly id: number;
  readonly job: Job;
}
export type Answer<Result> =
  | { readonly id: number; readonly result: Result }
  | { readonly id: number; readonly error: { readonly message: string; readonly input: boolean } };

interface Waiting<Result> {
  resolve(result: Result): void;
  reject(error: Error): void;
}

/** Threads that work on long jobs, one each at a time, in the order in which they are asked. */
export class Threads<Job, Result> {
  private readonly idle: Thread[];
  private readonly all: readonly Thread[];
  private readonly queue: { job: Job; transfer: ArrayBuffer[]; waiting: Waiting<Result> }[] = [];
  private readonly running = new Map<Thread, Waiting<Result>>();

  private failure: Error | undefined;

  constructor(module: URL, count = availableParallelism()) {
    this.all = Array.from({ length: count }, () => new Thread(module, (error) => this.fail(error)));
    this.idle = [...this.all];
    for (const thread of this.all)
      thread.worker.on('message', (answer: Answer<Result>) => this.answer(thread, answer));
  }

  get count(): number {
    return this.all.length;
  }

  /**
   * The buffers of `transfer` are handed over, not copied.
   * @throws {InputError} what the job throws. @throws {Error} when a thread has ended by itself.
   */
  run(job: Job, transfer: ArrayBuffer[] = []): Promise<Result> {
    const result = new Promise<Result>((resolve, reject) => {
      if (this.failure) throw this.failure;
      this.queue.push({ job, transfer, waiting: { resolve, reject } });
    });
    this.next();
    return result;
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((thread) => thread.stop()));
  }

  /** One thread less is no way to go on: all who wait are told. */
  private fail(error: Error): void {
    this.failure ??= error;
    for (const { reject } of this.running.values()) reject(error);
    for (const { waiting } of this.queue.splice(0)) waiting.reject(error);
    this.running.clear();
  }

  private next(): void {
    while (this.idle.length && this.queue.length) {
      const thread = this.idle.pop()!;
      const { job, transfer, waiting } = this.queue.shift()!;
      this.running.set(thread, waiting);
      thread.worker.postMessage({ id: 0, job } satisfies Request<Job>, transfer);
    }
  }

  private answer(thread: Thread, answer: Answer<Result>): void {
    const waiting = this.running.get(thread);
    if (!waiting) return; // another thread has failed
    this.running.delete(thread);
    this.idle.push(thread);
    if ('result' in answer) waiting.resolve(answer.result);
    else
      waiting.reject(
        answer.error.input ? new InputError(answer.error.message) : new Error(answer.error.message),
      );
    this.next();
  }
}
