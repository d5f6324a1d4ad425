import { parentPort, Worker } from 'node:worker_threads';
import type { JobTable, PoolWorker } from '../protocol.js';
import { serve } from '../serve.js';

/** Starts a thread that runs a module; the module calls {@link serveThread}. */
export function startThread(module: URL): PoolWorker {
  const thread = new Worker(module, { execArgv: [] });
  return {
    post: (message, transfer) => thread.postMessage(message, transfer),
    onMessage: (receive) => thread.on('message', receive),
    onEnd: (report) => {
      thread.on('error', (error) => report(endedBy(error)));
      thread.on('messageerror', (error) => report(endedBy(error)));
      thread.on('exit', (code) => report(endedBy(new Error(`exit code ${code}`))));
    },
    terminate: () => thread.terminate(),
  };
}

/** Returns an error with the cause's own fields, such as `code`: they show whether the input or the machine is at fault. */
function endedBy(cause: Error): Error {
  return Object.assign(new Error(`a worker thread ended (${cause.message})`, { cause }), { ...cause });
}

/** Runs the jobs that the parent thread requests. */
export function serveThread<Jobs extends JobTable<Jobs>>(jobs: Jobs): void {
  const port = parentPort!;
  serve(
    {
      post: (message, transfer) => port.postMessage(message, transfer),
      onMessage: (receive) => port.on('message', receive),
    },
    jobs,
  );
}
