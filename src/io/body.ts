import { InputError } from '../core/errors.js';

/** How long a server may be silent or slow: what takes longer ends like a broken connection. Bytes are those of one window. */
export const DEADLINES = { headersMs: 60_000, windowMs: 60_000, leastBytes: 1000 };

/**
 * The body of an answer as it comes. Only the time that is spent waiting for it counts, not what is done with it between.
 * @throws {Error} when in a window of that time too few bytes come.
 */
export async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  let bytes = 0;
  let leftMs = DEADLINES.windowMs;
  try {
    while (reader) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const started = performance.now();
      const late = new Promise<never>((_, reject) => {
        const check = () => {
          if (bytes < DEADLINES.leastBytes) return reject(new Error('too slow'));
          bytes = 0;
          timer = setTimeout(check, DEADLINES.windowMs);
        };
        timer = setTimeout(check, leftMs);
      });
      const { done, value } = await Promise.race([reader.read(), late]).finally(() => clearTimeout(timer));
      if (done) return;
      leftMs -= performance.now() - started;
      while (leftMs <= 0) leftMs += DEADLINES.windowMs;
      bytes += value.length;
      yield value;
    }
  } finally {
    reader?.cancel().catch(() => {}); // not waited for: it may be what hangs
  }
}

/**
 * A whole body, decoded. @param mostBytes more are refused. @param name what it is of, as messages call it.
 * @throws {InputError} when there are more. @throws {Error} when the connection breaks or is too slow.
 */
export async function wholeBody(
  response: Response,
  mostBytes: number,
  name: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunksOf(response)) {
    length += chunk.length;
    if (length > mostBytes)
      throw new InputError(`an answer of over ${mostBytes} bytes is refused`, { file: name });
    chunks.push(chunk);
  }
  return new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
}
