import { ConnectionError, InputError } from '../core/errors.js';
import { DEADLINES } from './body.js';

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: BodyInit;
  /** For the first address's origin alone: it is never sent on to where that redirects. */
  readonly token?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An answer, its status whatever it is but one that asks to come again, and the address that gave it. */
export interface Answer {
  readonly response: Response;
  readonly url: string;
}

/** What sends a request: `fetch`, unless a proxy is to be asked. */
export const TRANSPORT = { fetch: (url: URL, init: RequestInit): Promise<Response> => fetch(url, init) };

/** How often an exchange is tried, and how long the first wait is; each further one is twice as long. */
export const PATIENCE = { tries: 6, firstWaitMs: 250 };
const LONGEST_WAIT_MS = 120_000;
const MAX_REDIRECTS = 10;
/** What asking again does not change. */
const NO_SUCH_HOST = 'ENOTFOUND';

/** Worth trying again: time-outs, too many requests, errors of servers and of what stands before them. */
const PASSING: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/**
 * One exchange over HTTP, tried again while servers fail or ask to wait (Retry-After), its redirects followed.
 * @param name what is asked for, as messages call it: addresses may hold secrets.
 * @throws {ConnectionError} when no answer is to be had. @throws {InputError} on redirects that loop or lead out of HTTP.
 */
export async function request(name: string, url: string, options: RequestOptions = {}): Promise<Answer> {
  for (let failures = 1; ; failures++) {
    options.signal?.throwIfAborted();
    let wait = waitAfter(failures);
    try {
      const answer = await follow(name, url, options);
      const { status } = answer.response;
      if (!PASSING.has(status)) return answer;
      if (failures >= PATIENCE.tries)
        throw new ConnectionError(`the server answers ${status}, ${failures} times in a row`, { file: name });
      wait = retryAfter(answer.response) ?? wait;
      await answer.response.body?.cancel().catch(() => {});
      if (wait > LONGEST_WAIT_MS)
        throw new ConnectionError(`the server asks to come again in ${Math.ceil(wait / 1000)} seconds`, {
          file: name,
        });
    } catch (error) {
      if (error instanceof InputError || options.signal?.aborted) throw error;
      if (failures >= PATIENCE.tries || reason(error) === NO_SUCH_HOST)
        throw new ConnectionError(`cannot be reached (${reason(error)})`, { file: name }, { cause: error });
    }
    await sleep(wait, options.signal);
  }
}

/** Milliseconds before the next try, when so many have failed. */
export function waitAfter(failures: number): number {
  return failures ? PATIENCE.firstWaitMs * 2 ** (failures - 1) : 0;
}

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

/** Addresses that redirect, in a page: it cannot see where to, and the browser follows by its own rules, which are as strict. */
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
      throw new InputError(`the server redirects to ${next?.protocol ?? 'no address'}, which is refused`, {
        file: name,
      });
    url = next;
  }
  throw new InputError(`the server redirects more than ${MAX_REDIRECTS} times`, { file: name });
}

/** Sends a request. An answer to one without a body has to begin in time; `signal` ends its body too. */
async function send(url: URL, init: RequestInit, signal: AbortSignal | undefined): Promise<Response> {
  const deadline = new AbortController();
  const either = signal ? AbortSignal.any([signal, deadline.signal]) : deadline.signal;
  // what is sent takes its own time
  const timer = init.body ? undefined : setTimeout(() => deadline.abort(), DEADLINES.headersMs);
  try {
    return await TRANSPORT.fetch(url, { ...init, signal: either });
  } finally {
    clearTimeout(timer);
  }
}

/** What Retry-After says, in milliseconds: seconds, or a date. */
function retryAfter({ headers }: Response): number | undefined {
  const value = headers.get('retry-after');
  if (value === null) return;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds * 1000) : undefined;
}

/** Why a connection failed, without the address. */
function reason(error: unknown): string {
  const { cause } = error as { readonly cause?: { readonly code?: unknown } };
  return typeof cause?.code === 'string' ? cause.code : 'the connection failed';
}
