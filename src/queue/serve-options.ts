import type { Identity, Job, Json } from './job.js';

/** Options of a worker. */
export interface ServeOptions {
  /** Kinds of jobs that it takes. */
  readonly kinds: readonly string[];
  /** Maximum number of jobs at the same time, over all kinds. */
  readonly concurrency: number;
  /** Memory of all jobs at the same time, in bytes. */
  readonly memoryBytes: number;
  /** Jobs of another identity are refused. */
  readonly identity: Identity;
  /**
   * Does a job whose key it finds no result for, and stores the result. When the signal is aborted, the job is no longer wanted
   * here: its time is over, or the worker ends. An InputError ends the job for good; after other errors, and after a
   * ConnectionError, it is tried again.
   */
  readonly run: (job: Job, context: JobContext) => Promise<Json>;
  readonly onEvent?: (event: ServeEvent) => void;
  /** Milliseconds after which a worker that does not answer has lost its jobs; 30000 by default. */
  readonly lockMs?: number;
}

/** What a job's function receives beside the job. */
export interface JobContext {
  readonly signal: AbortSignal;
  /** Tells those who wait for the job how much of it is done, 0 to 1. */
  readonly onProgress: (share: number) => void;
}

/** What happens in a worker. */
export interface ServeEvent {
  readonly type:
    | 'ready'
    | 'started'
    | 'finished'
    | 'failed'
    /** Another worker has the job now; the result of this one is not needed. */
    | 'taken-over'
    /** The job went back to the queue, unharmed. */
    | 'handed-back'
    /** About the server: outages, and when they are over. */
    | 'notice';
  readonly job?: Job;
  /** One line. */
  readonly message: string;
}
