import { InputError } from '../errors.js';

/** How long a server may be silent or slow: what takes longer ends like a broken connection. Bytes are those of one window. */
export const DEADLINES = { headersMs: 60_000, windowMs: 60_000, leastBytes: 1000 };

/**
 * The body of an answer as it comes. Only the time that is spent waiting for it counts, not what is done with it between.
 * @throws {Error} when in a window of that time too few bytes come.
 */
export async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (!reader) return;
  const window = { waitedMs: 0, bytes: 0 };
  try {
    for (;;) {
      const { done, value } = await inTime(reader.read(), window);
      if (done) return;
      window.bytes += value.length;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {}); // not waited for: it may be what hangs
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
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/** A read that is given up when its window ends with too little in it. */
async function inTime<Value>(
  read: Promise<Value>,
  window: { waitedMs: number; bytes: number },
): Promise<Value> {
  const started = performance.now();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const check = () => {
      if (window.bytes < DEADLINES.leastBytes) return reject(new Error('the server is too slow'));
      window.bytes = 0;
      timer = setTimeout(check, DEADLINES.windowMs);
    };
    timer = setTimeout(check, DEADLINES.windowMs - window.waitedMs);
  });
  try {
    return await Promise.race([read, late]);
  } finally {
    clearTimeout(timer);
    window.waitedMs = (window.waitedMs + performance.now() - started) % DEADLINES.windowMs;
  }
}
