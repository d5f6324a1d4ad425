import type { ErrorRecord } from './errors.js';

/** Functions by the kind of job: what a worker does with one, and what it answers. */
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

/** A worker, as a pool sees it. */
export interface PoolWorker extends Port {
  /** Calls `report` when the worker ends by itself; it may also do so when it was terminated. */
  onEnd(report: (error: Error) => void): void;
  terminate(): unknown;
}
