import { movedBuffers } from './buffers.js';
import { describeError } from './errors.js';
import type { Answer, JobTable, Port, Request } from './protocol.js';

/** Runs every job that arrives at `port`, and answers with its result or error. */
export function serve<Jobs extends JobTable<Jobs>>(port: Port, jobs: Jobs): void {
  const answer = (message: Answer, transfer: ArrayBuffer[] = []) => port.post(message, transfer);
  port.onMessage(async (message) => {
    const { id, kind, job } = message as Request;
    try {
      const result = await jobs[kind as keyof Jobs](job as never);
      answer({ id, result }, buffersOf(result));
    } catch (error) {
      answer({ id, error: describeError(error) });
    }
  });
}

/** Returns the buffers of a typed array, or of the typed arrays in an object or list: they belong to the result and may be moved. */
function buffersOf(result: unknown): ArrayBuffer[] {
  return movedBuffers(
    (ArrayBuffer.isView(result) ? [result] : Object.values(Object(result))).filter(ArrayBuffer.isView),
  );
}
