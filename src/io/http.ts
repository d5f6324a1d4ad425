import { type ByteSource, checkRange } from '../core/byte-source.js';
import { ConnectionError, InputError, isInputError } from '../core/errors.js';
import { chunksOf, DEADLINES, wholeBody } from './body.js';
import { type Answer, PATIENCE, request, sleep, waitAfter } from './request.js';

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
 * @throws {ConnectionError} when it breaks over and over with hardly a byte between. @throws {InputError} on answers that are not what was
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
    failures = at - before >= DEADLINES.leastBytes ? 0 : failures + 1;
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
  file: HttpFile,
  start: number,
  end: number,
): AsyncGenerator<Uint8Array> {
  try {
    checkAnswer(response, file, start, end);
  } catch (error) {
    response.body?.cancel().catch(() => {}); // it may have broken by itself
    throw error;
  }
  yield* chunksOf(response);
}

/** @throws {InputError} unless an answer is the range asked for, as it is. */
function checkAnswer(
  { status, headers }: Response,
  { name: file, byteLength }: HttpFile,
  start: number,
  end: number,
): void {
  checkEncoding(headers, file);
  if (status !== 206) {
    if (start === 0 && end === byteLength) return;
    throw new InputError('the server does not send parts of files', { file });
  }
  const range = headers.get('content-range') ?? '';
  const total = /\/(\d+)$/.exec(range)?.[1];
  if (total !== undefined && Number(total) !== byteLength)
    throw new InputError(`has ${total} bytes now, expected ${byteLength}: it changed on the server`, {
      file,
    });
  if (!range.startsWith(`bytes ${start}-${end - 1}/`))
    throw new InputError(`expected bytes ${start}-${end - 1}, the server sends ${range || 'others'}`, {
      file,
    });
}

/** @throws {InputError} for what is compressed on the way: a few bytes may stand for any number, and parts of it are no parts of the file. */
function checkEncoding(headers: Headers, file: string): void {
  if (/^(identity)?$/i.test(headers.get('content-encoding') ?? '')) return;
  throw new InputError('the server compresses the file on the way', { file });
}

/** A file on a server, read by ranges, each a request of its own. */
export class HttpSource implements ByteSource {
  /** Once something small was asked for at the very front: lengths stand there of what is asked for next. */
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
  const [, last, total] = /^bytes 0-(\d+)\/(\d+)$/.exec(first.headers.get('content-range') ?? '') ?? [];
  const byteLength = Number(total);
  if (first.status !== 206 || !Number.isSafeInteger(byteLength)) {
    await first.body?.cancel().catch(() => {}); // it may have broken by itself
    throw new RangesRefused('the server does not send parts of files', { file: name });
  }
  const version = first.headers.get('etag') ?? undefined;
  const file = { name, byteLength, version, ask };
  checkEncoding(first.headers, name);
  const front = await wholeBody(first, frontBytes, name).catch((error) => {
    if (isInputError(error)) throw error;
  }); // broken: it is asked for again
  return front?.length === Number(last) + 1 ? { ...file, front } : file;
}

/** What a server answers, in its words as far as they are short. */
export function statusLine(who: string, { status, statusText }: Response): string {
  return `${who} answers ${status} ${statusText.slice(0, 80)}`.trim();
}

function accepted({ response }: Answer, name: string): Response {
  if (response.ok) return response;
  throw new InputError(statusLine('the server', response), { file: name });
}
