import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { InputError } from '../../errors.js';
import '../../forward/no-telemetry.js';

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
  private readonly idle: Worker[];
  private readonly all: readonly Worker[];
  private readonly queue: { job: Job; transfer: ArrayBuffer[]; waiting: Waiting<Result> }[] = [];
  private readonly running = new Map<Worker, Waiting<Result>>();

  constructor(module: URL, count = availableParallelism()) {
    this.all = Array.from({ length: count }, () => new Worker(module, { execArgv: [] }));
    this.idle = [...this.all];
    for (const worker of this.all) {
      worker.on('message', (answer: Answer<Result>) => this.answer(worker, answer));
      worker.on('error', (error) => this.running.get(worker)?.reject(error));
    }
  }

  get count(): number {
    return this.all.length;
  }

  /** The buffers of `transfer` are handed over, not copied. @throws {InputError} what the job throws. */
  run(job: Job, transfer: ArrayBuffer[] = []): Promise<Result> {
    const result = new Promise<Result>((resolve, reject) => {
      this.queue.push({ job, transfer, waiting: { resolve, reject } });
    });
    this.next();
    return result;
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((worker) => worker.terminate()));
  }

  private next(): void {
    while (this.idle.length && this.queue.length) {
      const worker = this.idle.pop()!;
      const { job, transfer, waiting } = this.queue.shift()!;
      this.running.set(worker, waiting);
      worker.postMessage({ id: 0, job } satisfies Request<Job>, transfer);
    }
  }

  private answer(worker: Worker, answer: Answer<Result>): void {
    const waiting = this.running.get(worker)!;
    this.running.delete(worker);
    this.idle.push(worker);
    if ('result' in answer) waiting.resolve(answer.result);
    else
      waiting.reject(
        answer.error.input ? new InputError(answer.error.message) : new Error(answer.error.message),
      );
    this.next();
  }
}
