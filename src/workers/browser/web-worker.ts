import type { JobTable, PoolWorker } from '../protocol.js';
import { serve } from '../serve.js';

/** First message that {@link servePage} posts: the module has been loaded. */
const READY = 'ready';

/** Waits until a worker's module, which calls {@link servePage}, has been loaded. @throws {Error} when it cannot be loaded. */
export function loadWorker(worker: Worker): Promise<PoolWorker> {
  const onEnd: PoolWorker['onEnd'] = (report) => {
    worker.onerror = ({ message }) => report(new Error(`a worker ended (${message})`));
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

/** Runs the jobs that the page requests. */
export function servePage<Jobs extends JobTable<Jobs>>(jobs: Jobs): void {
  // the global scope of a worker, which is missing in the types of a page
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
