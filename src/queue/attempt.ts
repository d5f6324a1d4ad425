import type { Job as QueueJob } from 'bullmq';
import { InputError } from '../core/errors.js';
import type { Job, Json } from './job.js';
import type { JobContext } from './serve-options.js';
import { MAX_MS } from './wait.js';

/** A job as this worker has taken it from the queue: the token is the key of its lock. */
export interface Taken {
  readonly inQueue: QueueJob;
  readonly token: string;
}

/** How often a job tells its progress, at most. */
const PROGRESS_MS = 1000;

/** A job that runs here. */
export class Attempt {
  readonly started = Date.now();
  /** False when another worker has the job, or the queue has it back. */
  owned = true;
  /** The queue is being told how it ended: a lock that is gone may have been given back by that. */
  settling = false;
  private readonly stopper = new AbortController();
  private lastProgress = 0;

  constructor(
    readonly job: Job,
    /** How it was taken; another time, if its lock was lost and it came back here. */
    public taken: Taken,
  ) {}

  /** False once the job was told to end. */
  get wanted(): boolean {
    return !this.stopper.signal.aborted;
  }

  /** Tells the job to end. */
  abort(reason: Error): void {
    this.stopper.abort(reason);
  }

  /**
   * Runs the job. The result settles at the time limit, whatever the job does; `ended` when the job itself has ended and its
   * memory is free.
   */
  run(work: (job: Job, context: JobContext) => Promise<Json>): {
    result: Promise<Json>;
    ended: Promise<void>;
  } {
    const { signal } = this.stopper;
    const { limitSeconds } = this.job;
    const limit = () => this.abort(new Error(`took longer than its limit of ${limitSeconds} s`));
    const timer = setTimeout(limit, Math.min(limitSeconds * 1000, MAX_MS));
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
    const onProgress = (share: number) => this.tell(share);
    const working = (async () => work(this.job, { signal, onProgress }))();
    const result = Promise.race([working, aborted]).finally(() => clearTimeout(timer));
    const ended = working.then(
      () => {},
      () => {},
    );
    return { result, ended };
  }

  private tell(share: number): void {
    const now = Date.now();
    if (now - this.lastProgress < PROGRESS_MS || !this.owned || !this.wanted) return;
    this.lastProgress = now;
    this.taken.inQueue.updateProgress(share).catch(() => {}); // nobody relies on it
  }
}

/** Thrown into jobs whose worker ends. */
export const stopped = () => new InputError('the worker was stopped');
