import { parentPort, Worker } from 'node:worker_threads';
import { fileError } from '../../io/node/file.js';
import type { JobTable, PoolWorker } from '../protocol.js';
import { serve } from '../serve.js';

/** Starts a module, which calls {@link serveThread}, as a thread. */
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

/** What the system refused is the input's fault, or the machine's, and not the program's. */
function endedBy(cause: Error): Error {
  const isSystem = fileError(cause, 'a worker thread') !== cause;
  return isSystem ? cause : new Error(`a worker thread ended (${cause.message})`, { cause });
}

/** Runs the jobs that the thread which started this one asks for. */
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
