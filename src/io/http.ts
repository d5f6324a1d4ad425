import { ConnectionError, InputError, isInputError } from '../errors.js';
import { type Answer, PATIENCE, request, sleep, waitAfter } from './request.js';
import { type ByteSource, checkRange } from './source.js';

/** A file on a server, of known length, that can be asked for by ranges. */
export interface HttpFile {
  /** As messages call it; not its address, which may hold secrets. */
  readonly name: string;
  readonly byteLength: number;
  /** The server's name for this content (ETag), where it tells one. */
  readonly version?: string | undefined;
  /** Its first bytes, if they came when it was opened. */
  readonly front?: Uint8Array;
  /** Asks for bytes `start` to `end` (exclusive). @throws {InputError} when the server refuses. */
  ask(start: number, end: number, signal?: AbortSignal): Promise<Response>;
}

/**
 * Bytes `start` to `end` (exclusive) of a file as they arrive. A connection that breaks is taken up again where it broke.
 * @throws {ConnectionError} when it breaks over and over without a byte between. @throws {InputError} on answers that are not what was
 * asked for.
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
        if (at > end)
          throw new InputError('the server sends more bytes than were asked for', { file: file.name });
        yield chunk;
      }
    } catch (error) {
      if (isInputError(error) || signal?.aborted) throw error;
    }
    failures = at > before ? 0 : failures + 1;
    if (at < end && failures >= PATIENCE.tries)
      throw new ConnectionError(`the connection broke ${failures} times in a row`, {
        file: file.name,
        start: at,
        end,
      });
    if (at < end) await sleep(waitAfter(failures), signal);
  }
}

/** The body of an answer that is the range asked for. */
async function* bodyOf(
  response: Response,
  { name, byteLength }: HttpFile,
  start: number,
  end: number,
): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  try {
    if (response.status === 206) {
      const range = response.headers.get('content-range') ?? '';
      const total = /\/(\d+)$/.exec(range)?.[1];
      if (total !== undefined && Number(total) !== byteLength)
        throw new InputError(`has ${total} bytes now, expected ${byteLength}: it changed on the server`, {
          file: name,
        });
      if (!range.startsWith(`bytes ${start}-${end - 1}/`))
        throw new InputError(`expected bytes ${start}-${end - 1}, the server sends ${range || 'others'}`, {
          file: name,
        });
    } else if (start !== 0 || end !== byteLength)
      throw new InputError('the server does not send parts of files', { file: name });
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true };
      if (done || !value) return;
      yield value;
    }
  } finally {
    await reader?.cancel().catch(() => {});
  }
}

/** A file on a server, read by ranges, each a request of its own. */
export class HttpSource implements ByteSource {
  constructor(protected readonly file: HttpFile) {}

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
    const { front } = this.file;
    if (front && start + target.length <= front.length)
      return target.set(front.subarray(start, start + target.length));
    let at = 0;
    for await (const chunk of fetchBytes(this.file, start, start + target.length, signal)) {
      target.set(chunk, at);
      at += chunk.length;
    }
  }

  async close(): Promise<void> {}
}

/** A server that sends files whole or not at all. */
export class RangesRefused extends InputError {}

/** Headers of a request for bytes `start` to `end` as they are, not compressed on the way. */
export function rangeHeaders(start: number, end: number) {
  return { range: `bytes=${start}-${end - 1}`, 'accept-encoding': 'identity' };
}

/** Headers, and of a .wpk the config, lie at the front: what opening a file needs comes with its length. */
const FRONT_BYTES = 2 ** 15;

/**
 * A file by its address. Its front and its length are asked for first. @param frontBytes of it, at least 1.
 * @throws {InputError} when the server refuses, or does not send parts of files.
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
  const [, last, length] = /^bytes 0-(\d+)\/(\d+)$/.exec(first.headers.get('content-range') ?? '') ?? [];
  const byteLength = Number(length);
  if (first.status !== 206 || !Number.isSafeInteger(byteLength)) {
    await first.body?.cancel().catch(() => {}); // it may have broken by itself
    throw new RangesRefused('the server does not send parts of files', { file: name });
  }
  const version = first.headers.get('etag') ?? undefined;
  const file = { name, byteLength, version, ask };
  const front = await first.arrayBuffer().catch(() => undefined); // broken: it is asked for again
  return front?.byteLength === Number(last) + 1 && front.byteLength <= frontBytes
    ? { ...file, front: new Uint8Array(front) }
    : file;
}

function accepted({ response }: Answer, name: string): Response {
  if (response.ok) return response;
  throw new InputError(`the server answers ${response.status} ${response.statusText}`.trim(), { file: name });
}
