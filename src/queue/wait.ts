/** Waits; an aborted signal ends it early. */
export function wait(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, Math.min(milliseconds, MAX_MS));
    if (signal?.aborted) end();
    else signal?.addEventListener('abort', end);
  });
}

/** The longest time of a timer. */
export const MAX_MS = 2 ** 31 - 1;

/** Waits for a promise, at most so long. @returns whether it has settled. */
export async function settlesWithin(promise: Promise<unknown>, milliseconds: number): Promise<boolean> {
  const over = new AbortController();
  const settled = promise.then(
    () => true,
    () => true,
  );
  const result = await Promise.race([settled, wait(milliseconds, over.signal).then(() => false)]);
  over.abort();
  return result;
}

/** Waits until a promise settles or a signal is aborted. */
export function untilAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      signal.removeEventListener('abort', end);
      resolve();
    };
    promise.then(end, end);
    if (signal.aborted) end();
    else signal.addEventListener('abort', end);
  });
}
