import { openQueue } from './open.js';
import type { ServeOptions } from './serve-options.js';
import { Server } from './server.js';

export type { JobContext, ServeEvent, ServeOptions } from './serve-options.js';

/** A worker that takes jobs from a queue. */
export interface QueueServer {
  /** Resolves when the worker has been stopped. @throws {InputError} when the queue cannot be served. */
  readonly done: Promise<void>;
  /**
   * Takes no more jobs, waits for those that run, hands back those that still run after the grace period, and closes all
   * connections. A second call can shorten the period.
   */
  stop(graceMs: number): Promise<void>;
}

/** Serves a queue: takes jobs and runs them, as many at a time as the options allow. */
export function serveQueue(address: string, options: ServeOptions): QueueServer {
  const server = new Server(options);
  const notice = (message: string) => options.onEvent?.({ type: 'notice', message });
  const done = server.serve(() => openQueue(address, notice));
  return {
    done,
    stop: (graceMs) => {
      server.stop(graceMs);
      return done.catch(() => {}); // told by `done`
    },
  };
}
