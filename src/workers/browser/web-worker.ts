import type { JobTable, PoolWorker } from '../protocol.js';
import { serve } from '../serve.js';

/** What {@link servePage} posts first: the module has been loaded. */
const READY = 'ready';

/** Returns a worker, whose module calls {@link servePage}, once it has been loaded. @throws {Error} when it cannot be. */
export function loadWorker(worker: Worker): Promise<PoolWorker> {
  const onEnd: PoolWorker['onEnd'] = (report) => {
    worker.onerror = ({ message }) => report(new Error(`a worker has ended: ${message}`));
  };
  return new Promise((resolve, reject) => {
    onEnd(reject);
    worker.onmessage = () =>
      resolve({
        post: (message, transfer) => worker.postMessage(message, transfer),
        onMessage: (receive) => {
          worker.onmessage = ({ data }) => receive(data);
        },
        onEnd,
        terminate: () => worker.terminate(),
      });
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
