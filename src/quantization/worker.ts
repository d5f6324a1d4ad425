import { parentPort } from 'node:worker_threads';
import { isInputError } from '../core/errors.js';
import { singleThreadRuntime } from '../onnx/node/runtime.js';
import type { Answer, Request } from '../workers/threads.js';
import { type Job, type Result, Work } from './jobs.js';

const work = new Work(singleThreadRuntime);

parentPort?.on('message', ({ id, job }: Request<Job>) => {
  work.run(job).then(
    (result) => parentPort?.postMessage({ id, result } satisfies Answer<Result>, buffersOf(result)),
    (error) => {
      const message = error instanceof Error ? error.message : String(error);
      parentPort?.postMessage({
        id,
        error: { message, input: isInputError(error) },
      } satisfies Answer<Result>);
    },
  );
});

function buffersOf(result: Result): ArrayBuffer[] {
  const arrays = Array.isArray(result) ? result : [result.indices, result.counts];
  return [...new Set(arrays.map(({ buffer }) => buffer as ArrayBuffer))];
}
