import { ConnectionError, InputError, isInputError } from '../core/errors.js';
import { wholeBody } from '../io/body.js';
import { statusLine } from '../io/http.js';
import { type Answer, RETRIES, type RequestOptions, request, sleep, waitAfter } from '../io/request.js';
import type { Account } from './account.js';

/** Maximum size of one response of the Hub's API, and of all responses to one call together. */
const MAX_ANSWER_BYTES = 2 ** 24;
const MAX_BYTES = 2 ** 26;
/** Maximum number of pages of a list. */
const MAX_ANSWERS = 1000;

/**
 * Returns a `fetch` for one call of the Hub's client library. The library does not get the token: this function sends it, and only to
 * the endpoint. It retries, limits the size and number of responses, and reports refusals in one line.
 * @param name of the repository. @param expected error statuses that are passed to the library.
 */
export function hubFetch(account: Account, name: string, expected: readonly number[] = []): typeof fetch {
  let [answers, bytesLeft] = [0, MAX_BYTES];
  return async (input, init = {}) => {
    const url = input instanceof Request ? input.url : String(input);
    const headers = Object.fromEntries(new Headers(init.headers));
    if (isOwn(account, url)) delete headers.authorization; // other origins are storage servers, with authorization by the Hub
    const options = {
      ...(init.method !== undefined && { method: init.method }),
      ...(init.body && { body: init.body }),
      headers,
      signal: init.signal ?? undefined,
    };
    if (!init.body && ++answers > MAX_ANSWERS)
      throw new InputError(`the Hub's list has over ${MAX_ANSWERS} pages`, { file: name });
    const most = Math.min(MAX_ANSWER_BYTES, bytesLeft);
    const { response, bytes } = await askWhole(account, name, url, options, expected, most);
    bytesLeft -= bytes.length;
    return new Response(bytes.length ? bytes : null, { status: response.status, headers: response.headers });
  };
}

/** Sends a request and reads the whole response. Retries when the connection breaks, unless the request has a body. */
async function askWhole(
  account: Account,
  name: string,
  url: string,
  options: Omit<RequestOptions, 'token'>,
  expected: readonly number[],
  maxBytes: number,
) {
  for (let failures = 1; ; failures++) {
    const { response } = await ask(account, name, url, options, expected);
    try {
      return { response, bytes: await wholeBody(response, maxBytes, name) };
    } catch (error) {
      if (isInputError(error) || options.signal?.aborted) throw error;
      if (failures >= RETRIES.attempts || options.body !== undefined)
        throw new ConnectionError(`the connection broke ${failures} times in a row`, { file: name });
      await sleep(waitAfter(failures), options.signal);
    }
  }
}

/**
 * Sends a request to the Hub with the account's token.
 * @throws {InputError} when the Hub refuses, with the reason and what to do.
 */
export async function ask(
  account: Account,
  name: string,
  url: string,
  options: Omit<RequestOptions, 'token'>,
  expected: readonly number[] = [],
): Promise<Answer> {
  const token = isOwn(account, url) ? account.token : undefined;
  const answer = await request(name, url, { ...options, token });
  const { response } = answer;
  if (response.ok || expected.includes(response.status)) return answer;
  response.body?.cancel().catch(() => {});
  throw new InputError(refusal(response, account, name), { file: name });
}

const isOwn = ({ endpoint }: Account, url: string) => new URL(url).origin === new URL(endpoint).origin;

/** Returns the message for a refusal, from its status and X-Error-Code. https://huggingface.co/docs/hub */
function refusal(response: Response, { endpoint, token }: Account, name: string): string {
  const { status, headers } = response;
  const code = headers.get('x-error-code');
  const page = `${endpoint}/${name.split('/').slice(0, 2).join('/')}`;
  if (code === 'GatedRepo')
    return token === undefined
      ? `gated repository: request access at ${page}, then set HF_TOKEN`
      : `gated repository: request access at ${page} with the account of your token`;
  if (status === 403)
    return token === undefined
      ? `access denied without a token: see ${page}, then set HF_TOKEN`
      : `the account of your token lacks permission: see ${page}`;
  if (code === 'RepoNotFound')
    return token === undefined
      ? `no such local file, and no public model on ${endpoint}; set HF_TOKEN for a private one`
      : `no such local file, and no model on ${endpoint} that the account of your token can access`;
  if (status === 401) return 'invalid token: the Hub refused it';
  if (code === 'RevisionNotFound') return 'no such revision on the Hub';
  if (code === 'EntryNotFound') return 'no such file in the repository';
  return statusLine('the Hub', response);
}
