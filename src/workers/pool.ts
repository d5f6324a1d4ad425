import { rebuildError } from './errors.js';
import type { Answer, JobOf, JobTable, PoolWorker, Request, ResultOf } from './protocol.js';

interface Waiting {
  resolve(result: never): void;
  reject(error: Error): void;
}

interface Member {
  readonly worker: PoolWorker;
  readonly waiting: Map<number, Waiting>;
}

interface Queued extends Waiting {
  readonly request: Request;
  readonly transfer: ArrayBuffer[];
}

/**
 * A pool of workers that start jobs in the order of the calls. When one of them ends unexpectedly, the pool fails,
 * because the jobs of that worker are lost.
 */
export class Pool<Jobs extends JobTable<Jobs>> {
  private members: Member[] = [];
  private readonly queue: Queued[] = [];
  private nextId = 0;
  private failure: Error | undefined;
  private ended: Promise<unknown> | undefined;

  /** @param jobsPerWorker maximum number of jobs per worker; by default 2: one running and one queued. */
  constructor(private readonly jobsPerWorker = 2) {}

  /** Number of workers; 0 once the pool has ended. */
  get count(): number {
    return this.members.length;
  }

  /** Whether it was closed or has failed: every job is then rejected. */
  get hasEnded(): boolean {
    return this.failure !== undefined;
  }

  /** Number of jobs that keep all workers busy. */
  get depth(): number {
    return Math.max(1, this.count * this.jobsPerWorker);
  }

  /** Adds a worker that is ready for jobs. */
  add(worker: PoolWorker): void {
    if (this.failure) return void worker.terminate();
    const waiting: Member['waiting'] = new Map();
    this.members.push({ worker, waiting });
    worker.onMessage((message) => this.settle(waiting, message as Answer));
    worker.onEnd((error) => this.end(error));
    this.next();
  }

  /**
   * Runs a job on the next free worker. Buffers in `transfer` are moved, not copied.
   * @throws the job's error, with its class, fields and causes. @throws {Error} when a worker has ended unexpectedly.
   */
  run<Kind extends keyof Jobs>(
    kind: Kind,
    job: JobOf<Jobs[Kind]>,
    transfer: ArrayBuffer[] = [],
  ): Promise<ResultOf<Jobs[Kind]>> {
    return new Promise((resolve, reject) => {
      if (this.failure) throw this.failure;
      this.queue.push({ request: { id: this.nextId++, kind, job }, transfer, resolve, reject });
      this.next();
    });
  }

  /** Ends all workers. Unfinished jobs are rejected with `reason`. */
  async close(reason = new Error('the worker pool was closed')): Promise<void> {
    this.end(reason);
    await this.ended;
  }

  private next(): void {
    while (this.queue.length && this.members.length) {
      const { worker, waiting } = this.members.reduce((least, other) =>
        other.waiting.size < least.waiting.size ? other : least,
      );
      if (waiting.size >= this.jobsPerWorker) return;
      const { request, transfer, resolve, reject } = this.queue.shift()!;
      waiting.set(request.id, { resolve, reject });
      try {
        worker.post(request, transfer);
      } catch (error) {
        waiting.delete(request.id); // the job cannot be sent
        reject(error as Error);
      }
    }
  }

  private settle(waiting: Member['waiting'], answer: Answer): void {
    const job = waiting.get(answer.id);
    waiting.delete(answer.id);
    if ('error' in answer) job?.reject(rebuildError(answer.error));
    else job?.resolve(answer.result as never);
    this.next();
  }

  private end(error: Error): void {
    if (this.failure) return;
    this.failure = error;
    const { members } = this;
    this.members = [];
    this.ended = Promise.all(members.map(({ worker }) => worker.terminate()));
    const waiting = members.flatMap((member) => [...member.waiting.values()]);
    for (const { reject } of [...waiting, ...this.queue.splice(0)]) reject(error);
  }
}
