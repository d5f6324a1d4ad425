import { InputError } from '../../errors.js';
import { type Answer, type RequestOptions, request } from '../../io/request.js';
import type { Account } from './account.js';

/** Answers of the Hub's interface, all but files. */
const MOST_ANSWER_BYTES = 2 ** 26;

/**
 * `fetch` for the Hub's own library, which is not told the token: the account's is sent, to the endpoint alone. With patience; whole
 * answers of bounded length; refusals as one line each.
 * @param name of the repository. @param expected statuses beside good ones that the library is to see.
 */
export function hubFetch(account: Account, name: string, expected: readonly number[] = []): typeof fetch {
  return async (input, init = {}) => {
    const url = input instanceof Request ? input.url : String(input);
    const headers = Object.fromEntries(new Headers(init.headers));
    if (isOwn(account, url)) delete headers.authorization; // others are those of storage, named by the Hub
    const { response } = await ask(
      account,
      name,
      url,
      {
        ...(init.method !== undefined && { method: init.method }),
        ...(init.body && { body: init.body }),
        headers,
        signal: init.signal ?? undefined,
      },
      expected,
    );
    const bytes = await wholeBody(response, name);
    return new Response(bytes.length ? bytes : null, { status: response.status, headers: response.headers });
  };
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
  await response.body?.cancel();
  throw new InputError(refusal(response, account, name), { file: name });
}

const isOwn = ({ endpoint }: Account, url: string) => new URL(url).origin === new URL(endpoint).origin;

/** https://huggingface.co/docs/hub: statuses, and X-Error-Code where there is one. */
function refusal(
  { status, statusText, headers }: Response,
  { endpoint, token }: Account,
  name: string,
): string {
  const code = headers.get('x-error-code');
  const page = `${endpoint}/${name.split('/').slice(0, 2).join('/')}`;
  if (code === 'GatedRepo' || status === 403)
    return token === undefined
      ? `its owner lets in only those who have asked: ask at ${page}, then set HF_TOKEN`
      : `the account of this token may not do that: ask at ${page}`;
  if (code === 'RepoNotFound')
    return token === undefined
      ? `no such file here, and no such model on ${endpoint}, or a private one: HF_TOKEN lets in`
      : `no such file here, and no model on ${endpoint} that the account of this token may see`;
  if (status === 401) return 'the Hub does not accept the token';
  if (code === 'RevisionNotFound') return 'has no such revision on the Hub';
  if (code === 'EntryNotFound') return 'is not in the repository';
  return `the Hub answers ${status} ${statusText}`.trim();
}

async function wholeBody(response: Response, name: string): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true };
    if (done || !value) return Buffer.concat(chunks);
    length += value.length;
    chunks.push(value);
    if (length <= MOST_ANSWER_BYTES) continue;
    await reader?.cancel();
    throw new InputError(`an answer of over ${MOST_ANSWER_BYTES} bytes is refused`, { file: name });
  }
}
