import { availableParallelism, totalmem } from 'node:os';
import { type QueueServer, type ServeEvent, serveQueue } from '../queue/serve.js';
import { openStore } from '../stores/open.js';
import { identityOfProcess } from './arithmetic.js';
import { JobThreads } from './job-threads.js';
import { KINDS } from './table.js';

/** Options of {@link work}. */
export interface WorkOptions {
  /** Jobs at the same time, each on one thread; default: one per core. */
  readonly concurrency?: number | undefined;
  /** Memory of all jobs together, in bytes; default: three quarters of the machine's. */
  readonly memoryBytes?: number | undefined;
  /** Kinds of jobs to take; default: all. */
  readonly kinds?: readonly string[] | undefined;
  readonly onEvent?: ((event: ServeEvent) => void) | undefined;
  /** Milliseconds after which a worker that does not answer has lost its jobs. */
  readonly lockMs?: number | undefined;
}

const DAY_MS = 24 * 3600 * 1000;

/** Returns the memory of the machine, or of the container. */
function machineBytes(): number {
  const limit = process.constrainedMemory() || Number.POSITIVE_INFINITY;
  return Math.min(totalmem(), limit);
}

/**
 * Takes jobs from a queue, and leaves their results in a store, until it is stopped.
 * @throws {InputError} when the store cannot be used.
 */
export async function work(queue: string, store: string, options: WorkOptions = {}): Promise<QueueServer> {
  const {
    concurrency = availableParallelism(),
    memoryBytes = 0.75 * machineBytes(),
    kinds = KINDS,
  } = options;
  const opened = await openStore(store); // says what is wrong before any job is taken
  await opened.sweep(DAY_MS).catch(() => {}); // it needs more rights than jobs do
  await opened.close();
  const jobs = new JobThreads(store);
  const server = serveQueue(queue, {
    kinds,
    concurrency,
    memoryBytes,
    identity: await identityOfProcess(),
    run: (job, context) => jobs.run(job, context),
    ...(options.onEvent && { onEvent: options.onEvent }),
    ...(options.lockMs !== undefined && { lockMs: options.lockMs }),
  });
  const done = server.done.finally(() => jobs.close());
  return { done, stop: (graceMs) => server.stop(graceMs) };
}
