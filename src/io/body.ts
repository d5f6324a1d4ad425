import { InputError } from '../core/errors.js';

/** Time limits of a response: until its headers, and per window in which at least `minBytes` must arrive. */
export const TIMEOUTS = { headersMs: 60_000, windowMs: 60_000, minBytes: 1000 };

/**
 * Yields the body of a response as it arrives. Only time spent waiting counts toward the limits.
 * @throws {Error} when too few bytes arrive within a window.
 */
export async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  let bytes = 0;
  let remainingMs = TIMEOUTS.windowMs;
  try {
    while (reader) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const started = performance.now();
      const late = new Promise<never>((_, reject) => {
        const check = () => {
          if (bytes < TIMEOUTS.minBytes) return reject(new Error('too slow'));
          bytes = 0;
          timer = setTimeout(check, TIMEOUTS.windowMs);
        };
        timer = setTimeout(check, remainingMs);
      });
      const { done, value } = await Promise.race([reader.read(), late]).finally(() => clearTimeout(timer));
      if (done) return;
      remainingMs -= performance.now() - started;
      while (remainingMs <= 0) remainingMs += TIMEOUTS.windowMs;
      bytes += value.length;
      yield value;
    }
  } finally {
    reader?.cancel().catch(() => {}); // not awaited, because it may hang
  }
}

/**
 * Reads a whole response body of at most `maxBytes` bytes. @param name of the resource, for messages.
 * @throws {InputError} when it is larger. @throws {Error} when the connection breaks or is too slow.
 */
export async function wholeBody(
  response: Response,
  maxBytes: number,
  name: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunksOf(response)) {
    length += chunk.length;
    if (length > maxBytes)
      throw new InputError(`the response is over the limit of ${maxBytes} bytes`, { file: name });
    chunks.push(chunk);
  }
  return new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
}
