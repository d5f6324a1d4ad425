import type { Job, Json } from './job.js';

/** Jobs that belong together. */
export interface Group {
  /** What people call it: `calibration`. */
  readonly name: string;
  /** What the group is made of, as a digest; names it in the queue. */
  readonly key: string;
}

/** What a caller wants to know of its jobs. */
export interface GroupHandlers {
  /**
   * Called with each job that has a result, one at a time, in the order in which they end.
   * @param returned what the worker returned; null if only {@link isDone} knows of the result.
   */
  readonly onDone?: (job: Job, returned: Json) => void | Promise<void>;
  /** Called with the share of a running job that is done, 0 to 1. */
  readonly onProgress?: (job: Job, share: number) => void;
  /** Returns whether the result of a job exists. Such jobs are not run; jobs that the queue calls completed without a result are. */
  readonly isDone?: (key: string) => Promise<boolean>;
  readonly signal?: AbortSignal | undefined;
}
