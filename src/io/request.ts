import { ConnectionError, InputError } from '../core/errors.js';
import { TIMEOUTS } from './body.js';

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: BodyInit;
  /** Sent only to the origin of the first address, never to a redirect target elsewhere. */
  readonly token?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A response that needs no retry, whatever its status, and the address that it came from. */
export interface Answer {
  readonly response: Response;
  readonly url: string;
}

/** Sends requests: `fetch`, unless it is replaced by one that uses a proxy. */
export const TRANSPORT = { fetch: (url: URL, init: RequestInit): Promise<Response> => fetch(url, init) };

/** Number of attempts per request, and the first wait, which doubles each time. */
export const RETRIES = { attempts: 6, firstWaitMs: 250 };
const MAX_WAIT_MS = 120_000;
const MAX_REDIRECTS = 10;
/** Error code that retrying does not change. */
const NO_SUCH_HOST = 'ENOTFOUND';

/** Statuses worth a retry: timeouts, too many requests, errors of servers and gateways. */
const RETRYABLE: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/**
 * Sends an HTTP request, follows redirects, and retries while the server fails or asks to wait (Retry-After).
 * @param name of the resource for messages, since addresses may contain secrets.
 * @throws {ConnectionError} when all attempts fail. @throws {InputError} on redirects that loop or leave HTTP.
 */
export async function request(name: string, url: string, options: RequestOptions = {}): Promise<Answer> {
  for (let failures = 1; ; failures++) {
    options.signal?.throwIfAborted();
    let wait = waitAfter(failures);
    try {
      const answer = await follow(name, url, options);
      const { status } = answer.response;
      if (!RETRYABLE.has(status)) return answer;
      if (failures >= RETRIES.attempts)
        throw new ConnectionError(`the server answered ${status}, ${failures} times in a row`, {
          file: name,
        });
      wait = retryAfter(answer.response) ?? wait;
      await answer.response.body?.cancel().catch(() => {});
      if (wait > MAX_WAIT_MS)
        throw new ConnectionError(`server asked to retry after ${Math.ceil(wait / 1000)} s`, {
          file: name,
        });
    } catch (error) {
      if (error instanceof InputError || options.signal?.aborted) throw error;
      if (failures >= RETRIES.attempts || reason(error) === NO_SUCH_HOST)
        throw new ConnectionError(`cannot be reached (${reason(error)})`, { file: name }, { cause: error });
    }
    await sleep(wait, options.signal);
  }
}

/** Returns the milliseconds to wait before the next attempt, after a number of failures. */
export function waitAfter(failures: number): number {
  return failures ? RETRIES.firstWaitMs * 2 ** (failures - 1) : 0;
}

/** Waits, unless aborted. @throws the signal's reason when it is aborted. */
export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', abort, { once: true });
  });
}

/** Addresses that redirect, in a page. A page cannot see the target; the browser follows by its own rules, which are as strict. */
const followed = new Set<string>();

async function follow(name: string, first: string, options: RequestOptions): Promise<Answer> {
  const { method = 'GET', headers = {}, body, token, signal } = options;
  let url = new URL(first);
  const { origin } = url;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const secret = token !== undefined && url.origin === origin && { authorization: `Bearer ${token}` };
    const init = {
      method,
      headers: { ...headers, ...secret },
      ...(body !== undefined && { body, duplex: 'half' }),
    } as RequestInit;
    const isFollowed = followed.has(url.href);
    const response = await send(url, { ...init, redirect: isFollowed ? 'follow' : 'manual' }, signal);
    if (isFollowed) return { response, url: url.href };
    if (response.type === 'opaqueredirect') {
      followed.add(url.href);
      return { response: await send(url, { ...init, redirect: 'follow' }, signal), url: url.href };
    }
    const location = response.status >= 300 && response.status < 400 && response.headers.get('location');
    if (!location) return { response, url: url.href };
    await response.body?.cancel().catch(() => {});
    const next = URL.canParse(location, url) ? new URL(location, url) : undefined;
    if (next?.protocol !== 'https:' && !(next?.protocol === 'http:' && url.protocol === 'http:'))
      throw new InputError(
        `the server redirects to ${next?.protocol ?? 'an invalid address'}, expected https:`,
        {
          file: name,
        },
      );
    url = next;
  }
  throw new InputError(`the server redirects more than ${MAX_REDIRECTS} times`, { file: name });
}

/** Sends a request. The headers of the response must arrive in time unless the request has a body; `signal` also aborts the response body. */
async function send(url: URL, init: RequestInit, signal: AbortSignal | undefined): Promise<Response> {
  const deadline = new AbortController();
  const either = signal ? AbortSignal.any([signal, deadline.signal]) : deadline.signal;
  // an upload may take any time
  const timer = init.body ? undefined : setTimeout(() => deadline.abort(), TIMEOUTS.headersMs);
  try {
    return await TRANSPORT.fetch(url, { ...init, signal: either });
  } finally {
    clearTimeout(timer);
  }
}

/** Parses the Retry-After header, seconds or a date, to milliseconds. */
function retryAfter({ headers }: Response): number | undefined {
  const value = headers.get('retry-after');
  if (value === null) return;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds * 1000) : undefined;
}

/** Returns why a connection failed, without the address. */
function reason(error: unknown): string {
  const { cause } = error as { readonly cause?: { readonly code?: unknown } };
  return typeof cause?.code === 'string' ? cause.code : 'the connection failed';
}
