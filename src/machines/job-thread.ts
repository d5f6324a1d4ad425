import { parentPort, workerData } from 'node:worker_threads';
import { loadRuntime } from '../onnx/node/runtime.js';
import type { Job, Json } from '../queue/job.js';
import { openStore } from '../stores/open.js';
import { describeError, type ErrorRecord } from '../workers/errors.js';
import { runJob } from './table.js';
import { Workplace } from './workplace.js';

/** What a thread tells of its job. */
export type ThreadMessage =
  | { readonly progress: number }
  | { readonly returned: Json }
  | { readonly error: ErrorRecord };

const port = parentPort!;
const tell = (message: ThreadMessage) => port.postMessage(message);

let place: Promise<Workplace> | undefined;

async function openPlace(): Promise<Workplace> {
  // one thread: the order of sums in some products depends on their number
  return new Workplace(await openStore(workerData as string), await loadRuntime(1));
}

port.on('message', async (job: Job) => {
  try {
    place ??= openPlace();
    place.catch(() => {
      place = undefined; // the next job tries again
    });
    tell({ returned: await runJob(job, await place, { onProgress: (progress) => tell({ progress }) }) });
  } catch (error) {
    tell({ error: describeError(error) });
  }
});
