import { Worker, type WorkerOptions } from 'node:worker_threads';
import { fileError } from '../io/node/file.js';

/** A thread of this program, which is to end only when it is stopped. */
export class Thread {
  readonly worker: Worker;
  private error: Error | undefined;
  private isStopping = false;

  /** @param onEnd called once, when it ends by itself: who waits for it must not wait for ever. */
  constructor(
    module: URL,
    private readonly onEnd: (error: Error) => void,
    options: WorkerOptions = {},
  ) {
    this.worker = new Worker(module, { ...options, execArgv: [] });
    this.worker.on('error', (error) => this.ended(error.message, error));
    this.worker.on('messageerror', (error) => this.ended(error.message));
    this.worker.on('exit', (code) => this.ended(`exit code ${code}`));
  }

  /** Why it has ended, if it has. */
  get failure(): Error | undefined {
    return this.error;
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await this.worker.terminate();
  }

  private ended(why: string, cause?: Error): void {
    if (this.error || this.isStopping) return;
    const error = new Error(`a worker thread ended (${why})`, { cause });
    this.error = fileError(cause, 'a worker thread') === cause ? error : cause!;
    this.onEnd(this.error);
  }
}
