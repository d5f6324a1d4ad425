import { Worker } from 'node:worker_threads';
import '../onnx/node/no-telemetry.js'; // must be imported before threads load the runtime
import type { Job, Json } from '../queue/job.js';
import type { JobContext } from '../queue/serve.js';
import { rebuildError } from '../workers/errors.js';
import type { ThreadMessage } from './job-thread.js';

/**
 * Threads that do jobs, one each. A job that is no longer wanted ends with its thread, whatever it is doing; the thread that keeps the
 * queue informed stays free.
 */
export class JobThreads {
  private readonly free: Worker[] = [];
  private readonly all = new Set<Worker>();

  /** @param store its address. */
  constructor(private readonly store: string) {}

  /** Does a job on a free thread, or on a new one. @throws the job's error; the signal's reason when it is aborted. */
  async run(job: Job, { signal, onProgress }: JobContext): Promise<Json> {
    signal.throwIfAborted();
    const thread = this.free.pop() ?? this.start();
    let isUsable = false;
    let forget: (() => void) | undefined;
    try {
      return await new Promise<Json>((resolve, reject) => {
        const receive = (message: ThreadMessage) => {
          if ('progress' in message) return onProgress(message.progress);
          isUsable = true;
          if ('error' in message) reject(rebuildError(message.error));
          else resolve(message.returned);
        };
        const stop = () => reject(signal.reason);
        const exit = (code: number) => reject(new Error(`a thread ended with exit code ${code}`));
        thread.on('message', receive).on('error', reject).on('exit', exit);
        signal.addEventListener('abort', stop);
        forget = () => {
          thread.off('message', receive).off('error', reject).off('exit', exit);
          signal.removeEventListener('abort', stop);
        };
        thread.postMessage(job);
      });
    } finally {
      forget?.();
      if (isUsable) this.free.push(thread);
      else await this.end(thread);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.all].map((thread) => this.end(thread)));
  }

  private start(): Worker {
    const thread = new Worker(new URL('./job-thread.js', import.meta.url), {
      workerData: this.store,
      execArgv: [],
    });
    this.all.add(thread);
    return thread;
  }

  private async end(thread: Worker): Promise<void> {
    this.all.delete(thread);
    thread.on('error', () => {}); // it is ending
    await thread.terminate();
  }
}
