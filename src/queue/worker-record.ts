/** A worker, as it describes itself in the queue. */
export interface WorkerRecord {
  readonly host: string;
  readonly pid: number;
  readonly kinds: readonly string[];
  readonly concurrency: number;
  readonly memoryBytes: number;
  readonly version: string;
  readonly running: readonly RunningJob[];
  /** When it wrote this, by the server's clock, in milliseconds. */
  readonly at: number;
}

/** A job that a worker runs. */
export interface RunningJob {
  readonly kind: string;
  readonly label: string;
  readonly seconds: number;
}
