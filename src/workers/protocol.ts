import type { ErrorRecord } from './errors.js';

/** Functions by kind of job: each takes a job and returns its result. */
export type JobTable<Jobs> = { readonly [Kind in keyof Jobs]: (job: never) => unknown };
export type JobOf<Work> = Work extends (job: infer Job) => unknown ? Job : never;
export type ResultOf<Work> = Work extends (job: never) => infer Result ? Awaited<Result> : never;

export interface Request {
  readonly id: number;
  readonly kind: PropertyKey;
  readonly job: unknown;
}

export type Answer =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: ErrorRecord };

/** One end of the channel between a caller and a worker. Buffers in `transfer` are moved, not copied. */
export interface Port {
  post(message: unknown, transfer: ArrayBuffer[]): void;
  onMessage(receive: (message: unknown) => void): void;
}

/** A worker in a pool. */
export interface PoolWorker extends Port {
  /** Calls `report` when the worker ends unexpectedly; it may also be called after `terminate`. */
  onEnd(report: (error: Error) => void): void;
  terminate(): unknown;
}
