/** A value that a queue can carry. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A job: a pure function of its data. Its result is in a store under its key, so it may run twice, on any machine, in any order. */
export interface Job {
  /** SHA-256 of everything that the result depends on, hexadecimal: the job's name in the queue, and the key of its result. */
  readonly key: string;
  /** What is done: small letters, digits and `-`. */
  readonly kind: string;
  /** The input: small; large inputs are named by their keys in a store. */
  readonly data: Json;
  /** What messages call it: `model.layers.3.mlp.up_proj.weight`, `windows 4 to 7`. */
  readonly label: string;
  /** Maximum memory that it takes, in bytes: workers with less do not run it. */
  readonly memoryBytes: number;
  /** Time after which it is stopped and tried again, in seconds. */
  readonly limitSeconds: number;
}

/** A job that has ended without a result. */
export interface FailedJob {
  readonly job: Job;
  /** One line. */
  readonly reason: string;
}

/** What results depend on beside a job's data. Workers run only jobs of their own identity, so that results are the same everywhere. */
export interface Identity {
  /** Version of this program. */
  readonly version: string;
  /** What decides how numbers are rounded, such as the runtime and its kernels. */
  readonly arithmetic: string;
}
