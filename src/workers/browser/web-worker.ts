import type { JobTable, PoolWorker } from '../protocol.js';
import { serve } from '../serve.js';

/** What {@link servePage} posts first: the module has been loaded. */
const READY = 'ready';

/** Calls `use` with a started worker, whose module calls {@link servePage}, when it has been loaded; never if it cannot be. */
export function whenReady(worker: Worker, use: (worker: PoolWorker) => void): void {
  worker.onmessage = () =>
    use({
      post: (message, transfer) => worker.postMessage(message, transfer),
      onMessage: (receive) => {
        worker.onmessage = ({ data }) => receive(data);
      },
      onEnd: (report) => {
        worker.onerror = ({ message }) => report(new Error(`a worker has ended: ${message}`));
      },
      terminate: () => worker.terminate(),
    });
}

/** Runs the jobs that the page which started this worker asks for. */
export function servePage<Jobs extends JobTable<Jobs>>(jobs: Jobs): void {
  // of a worker's global scope, which the types of a page do not have
  const scope = globalThis as unknown as Pick<Worker, 'onmessage' | 'postMessage'>;
  serve(
    {
      post: (message, transfer) => scope.postMessage(message, transfer),
      onMessage: (receive) => {
        scope.onmessage = ({ data }) => receive(data);
      },
    },
    jobs,
  );
  scope.postMessage(READY);
}
