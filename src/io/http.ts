import { type ByteSource, checkRange } from '../core/byte-source.js';
import { ConnectionError, InputError, isInputError } from '../core/errors.js';
import { chunksOf, TIMEOUTS, wholeBody } from './body.js';
import { type Answer, RETRIES, request, sleep, waitAfter } from './request.js';

/** A file of known length on a server that supports range requests. */
export interface HttpFile {
  /** Name for messages; not the address, which may contain secrets. */
  readonly name: string;
  readonly byteLength: number;
  /** ETag of the content, if the server sends one. */
  readonly version?: string | undefined;
  /** Its first bytes, if they arrived when it was opened. */
  readonly front?: Uint8Array;
  /** Requests bytes `start` to `end` (exclusive). @throws {InputError} when the server refuses. */
  ask(start: number, end: number, signal?: AbortSignal): Promise<Response>;
}

/**
 * Yields bytes `start` to `end` (exclusive) of a file as they arrive. A broken connection is resumed where it broke.
 * @throws {ConnectionError} when it breaks repeatedly without progress. @throws {InputError} when a response is not the requested range.
 */
export async function* fetchBytes(
  file: HttpFile,
  start: number,
  end: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let at = start;
  for (let failures = 0; at < end; ) {
    const before = at;
    try {
      const response = await file.ask(at, end, signal);
      for await (const chunk of bodyOf(response, file, at, end)) {
        at += chunk.length;
        if (at > end) throw new InputError('the server sent more bytes than requested', { file: file.name });
        yield chunk;
      }
    } catch (error) {
      if (isInputError(error) || signal?.aborted) throw error;
    }
    failures = at - before >= TIMEOUTS.minBytes ? 0 : failures + 1;
    if (at < end && failures >= RETRIES.attempts)
      throw new ConnectionError(`the connection broke ${failures} times in a row`, {
        file: file.name,
        start: at,
        end,
      });
    if (at < end) await sleep(waitAfter(failures), signal);
  }
}

/** Yields the body of a response, after checking that it is the requested range. */
async function* bodyOf(
  response: Response,
  file: HttpFile,
  start: number,
  end: number,
): AsyncGenerator<Uint8Array> {
  try {
    checkResponse(response, file, start, end);
  } catch (error) {
    response.body?.cancel().catch(() => {}); // the connection may already be broken
    throw error;
  }
  yield* chunksOf(response);
}

/** Checks that a response is the requested range, not compressed. @throws {InputError} when it is not. */
function checkResponse(
  { status, headers }: Response,
  { name: file, byteLength }: HttpFile,
  start: number,
  end: number,
): void {
  checkEncoding(headers, file);
  if (status !== 206) {
    if (start === 0 && end === byteLength) return;
    throw new InputError('the server does not support range requests', { file });
  }
  const range = headers.get('content-range') ?? '';
  const total = /\/(\d+)$/.exec(range)?.[1];
  if (total !== undefined && Number(total) !== byteLength)
    throw new InputError(`expected ${byteLength} bytes, found ${total}: the file changed on the server`, {
      file,
    });
  if (!range.startsWith(`bytes ${start}-${end - 1}/`))
    throw new InputError(`expected bytes ${start}-${end - 1}, the server sent ${range || 'another range'}`, {
      file,
    });
}

/** Checks that a response has no content encoding, whose ranges would not be those of the file. @throws {InputError} when it has one. */
function checkEncoding(headers: Headers, file: string): void {
  if (/^(identity)?$/i.test(headers.get('content-encoding') ?? '')) return;
  throw new InputError('the server compresses the response (Content-Encoding)', { file });
}

/** A file on a server, read by ranges, one request each. */
export class HttpSource implements ByteSource {
  /** The first bytes, fetched with the first small read at the start: they usually hold lengths of what is read next. */
  private front: Uint8Array | undefined;

  constructor(protected readonly file: HttpFile) {
    this.front = file.front;
  }

  get name(): string {
    return this.file.name;
  }

  get byteLength(): number {
    return this.file.byteLength;
  }

  async read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
    checkRange(this, start, end);
    const bytes = new Uint8Array(end - start);
    await this.readInto(bytes, start, signal);
    return bytes;
  }

  async readInto(target: Uint8Array, start: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, start, start + target.length);
    const frontBytes = Math.min(FRONT_BYTES, this.byteLength);
    if (start === 0 && target.length < frontBytes && !this.front) {
      const front = new Uint8Array(frontBytes);
      await this.fetchInto(front, 0, signal);
      this.front = front;
    }
    if (this.front && start + target.length <= this.front.length)
      return target.set(this.front.subarray(start, start + target.length));
    await this.fetchInto(target, start, signal);
  }

  private async fetchInto(target: Uint8Array, start: number, signal?: AbortSignal): Promise<void> {
    let at = 0;
    for await (const chunk of fetchBytes(this.file, start, start + target.length, signal)) {
      target.set(chunk, at);
      at += chunk.length;
    }
  }

  async close(): Promise<void> {}
}

/** The server does not support range requests. */
export class RangesRefused extends InputError {}

/** Returns the request headers for bytes `start` to `end` (exclusive) without content encoding. */
export function rangeHeaders(start: number, end: number) {
  return { range: `bytes=${start}-${end - 1}`, 'accept-encoding': 'identity' };
}

/** Bytes fetched on opening: they usually contain the header, and of a .wpk the config too. */
const FRONT_BYTES = 2 ** 15;

/**
 * Opens a file by its address with one request for its first bytes and its length. @param frontBytes number of first bytes, at least 1.
 * @throws {InputError} when the server refuses. @throws {RangesRefused} when it does not support range requests.
 */
export async function openAddress(
  address: string,
  signal?: AbortSignal,
  frontBytes = FRONT_BYTES,
): Promise<HttpFile> {
  const { origin, pathname } = new URL(address);
  const name = origin + pathname;
  const ask = async (start: number, end: number, aborted?: AbortSignal) =>
    accepted(await request(name, address, { headers: rangeHeaders(start, end), signal: aborted }), name);
  const first = await ask(0, frontBytes, signal);
  const [, last, total] = /^bytes 0-(\d+)\/(\d+)$/.exec(first.headers.get('content-range') ?? '') ?? [];
  const byteLength = Number(total);
  if (first.status !== 206 || !Number.isSafeInteger(byteLength)) {
    await first.body?.cancel().catch(() => {}); // the connection may already be broken
    throw new RangesRefused('the server does not support range requests', { file: name });
  }
  const version = first.headers.get('etag') ?? undefined;
  const file = { name, byteLength, version, ask };
  checkEncoding(first.headers, name);
  const front = await wholeBody(first, frontBytes, name).catch((error) => {
    if (isInputError(error)) throw error;
  }); // a broken connection: the bytes are requested again when needed
  return front?.length === Number(last) + 1 ? { ...file, front } : file;
}

/** Formats the status of a response for messages. */
export function statusLine(who: string, { status, statusText }: Response): string {
  return `${who} answers ${status} ${statusText.slice(0, 80)}`.trim();
}

function accepted({ response }: Answer, name: string): Response {
  if (response.ok) return response;
  throw new InputError(statusLine('the server', response), { file: name });
}
