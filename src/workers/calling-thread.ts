import type { JobTable, PoolWorker, Port } from './protocol.js';
import { serve } from './serve.js';

/** Returns a worker without a thread: its jobs run on the calling thread when they are requested. */
export function callingThread<Jobs extends JobTable<Jobs>>(jobs: Jobs): PoolWorker {
  let ask: Parameters<Port['onMessage']>[0];
  let answer: typeof ask;
  serve({ post: (message) => answer(message), onMessage: (receive) => (ask = receive) }, jobs);
  return {
    post: (message) => ask(message),
    onMessage: (receive) => (answer = receive),
    onEnd: () => {},
    terminate: () => {},
  };
}
