import { describeError } from './errors.js';
import type { Answer, JobTable, Port, Request } from './protocol.js';

/** Answers every job that comes through `port` with what the function of its kind returns or throws. */
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

/** Returns the buffers of a typed array, or of those that an object or a list holds: a result's own, free to be moved. */
function buffersOf(result: unknown): ArrayBuffer[] {
  const arrays = (ArrayBuffer.isView(result) ? [result] : Object.values(Object(result))).filter(
    ArrayBuffer.isView,
  );
  return [...new Set(arrays.map(({ buffer }) => buffer as ArrayBuffer))];
}
