import { parentPort } from 'node:worker_threads';
import { isInputError } from '../core/errors.js';
import { type JobKind, type Jobs, runJob } from './jobs.js';

/** What a thread is asked and what it answers. */
export interface Request {
  readonly id: number;
  readonly kind: JobKind;
  readonly job: Jobs[JobKind];
}
export type Answer =
  | { readonly id: number; readonly bytes: Uint8Array }
  | { readonly id: number; readonly error: { readonly message: string; readonly input: boolean } };

parentPort?.on('message', ({ id, kind, job }: Request) => {
  try {
    const bytes = runJob(kind, job as never);
    parentPort?.postMessage({ id, bytes } satisfies Answer, [bytes.buffer as ArrayBuffer]);
  } catch (error) {
    // classes do not survive the way between threads; the message says everything
    const message = error instanceof Error ? error.message : String(error);
    parentPort?.postMessage({ id, error: { message, input: isInputError(error) } } satisfies Answer);
  }
});
