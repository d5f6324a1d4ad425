import { ConnectionError, InputError, isInputError } from '../core/errors.js';
import { wholeBody } from '../io/body.js';
import { statusLine } from '../io/http.js';
import { type Answer, RETRIES, type RequestOptions, request, sleep, waitAfter } from '../io/request.js';
import type { Account } from './account.js';

/** Answers of the Hub's interface, all but files: one of them, and all those to one question together. */
const MAX_ANSWER_BYTES = 2 ** 24;
const MAX_BYTES = 2 ** 26;
/** A list is turned over so often at most. */
const MAX_ANSWERS = 1000;

/**
 * `fetch` for one question to the Hub by its own library, which is not told the token: the account's is sent, to the endpoint alone.
 * With patience; whole answers of bounded length and number; refusals as one line each.
 * @param name of the repository. @param expected statuses beside good ones that the library is to see.
 */
export function hubFetch(account: Account, name: string, expected: readonly number[] = []): typeof fetch {
  let [answers, bytesLeft] = [0, MAX_BYTES];
  return async (input, init = {}) => {
    const url = input instanceof Request ? input.url : String(input);
    const headers = Object.fromEntries(new Headers(init.headers));
    if (isOwn(account, url)) delete headers.authorization; // others are those of storage, named by the Hub
    const options = {
      ...(init.method !== undefined && { method: init.method }),
      ...(init.body && { body: init.body }),
      headers,
      signal: init.signal ?? undefined,
    };
    if (!init.body && ++answers > MAX_ANSWERS)
      throw new InputError(`the Hub's list does not end: more than ${MAX_ANSWERS} pages`, { file: name });
    const most = Math.min(MAX_ANSWER_BYTES, bytesLeft);
    const { response, bytes } = await askWhole(account, name, url, options, expected, most);
    bytesLeft -= bytes.length;
    return new Response(bytes.length ? bytes : null, { status: response.status, headers: response.headers });
  };
}

/** An exchange and the whole answer; asked again when that breaks off, unless something was sent. */
async function askWhole(
  account: Account,
  name: string,
  url: string,
  options: Omit<RequestOptions, 'token'>,
  expected: readonly number[],
  mostBytes: number,
) {
  for (let failures = 1; ; failures++) {
    const { response } = await ask(account, name, url, options, expected);
    try {
      return { response, bytes: await wholeBody(response, mostBytes, name) };
    } catch (error) {
      if (isInputError(error) || options.signal?.aborted) throw error;
      if (failures >= RETRIES.attempts || options.body !== undefined)
        throw new ConnectionError(`the connection broke ${failures} times in a row`, { file: name });
      await sleep(waitAfter(failures), options.signal);
    }
  }
}

/**
 * One exchange with the Hub as the account.
 * @throws {InputError} when it refuses: what for, and what can be done.
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

/** https://huggingface.co/docs/hub: statuses, and X-Error-Code where there is one. */
function refusal(response: Response, { endpoint, token }: Account, name: string): string {
  const { status, headers } = response;
  const code = headers.get('x-error-code');
  const page = `${endpoint}/${name.split('/').slice(0, 2).join('/')}`;
  if (code === 'GatedRepo')
    return token === undefined
      ? `gated repository: request access at ${page}, then set HF_TOKEN`
      : `gated repository: request access at ${page} with the account of this token`;
  if (status === 403)
    return token === undefined
      ? `the Hub refuses it without a token: see ${page}, then set HF_TOKEN`
      : `the account of this token may not do that: see ${page}`;
  if (code === 'RepoNotFound')
    return token === undefined
      ? `no such file here, and no such model on ${endpoint}, or a private one: HF_TOKEN lets in`
      : `no such file here, and no model on ${endpoint} that the account of this token may see`;
  if (status === 401) return 'the Hub does not accept the token';
  if (code === 'RevisionNotFound') return 'has no such revision on the Hub';
  if (code === 'EntryNotFound') return 'is not in the repository';
  return statusLine('the Hub', response);
}
