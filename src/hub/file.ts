import type { HttpFile } from '../io/http.js';
import { rangeHeaders } from '../io/http.js';
import { request } from '../io/request.js';
import type { Account } from './account.js';
import { ask } from './exchange.js';
import type { HubFile, Repository } from './repository.js';

/**
 * Returns a file of a repository for range requests. The Hub redirects large files to a storage server at an address that expires; that
 * address is reused until the server refuses it.
 */
export function hubFile(
  account: Account,
  { name: repository, commit }: Repository,
  { name: own, lengthBytes }: HubFile,
): HttpFile {
  const name = `${repository}/${own}`;
  const url = `${account.endpoint}/${repository}/resolve/${commit}/${own.split('/').map(encodeURIComponent).join('/')}`;
  let stored: string | undefined;
  const askStored = async (start: number, end: number, signal?: AbortSignal) => {
    if (stored === undefined) return;
    const { response } = await request(name, stored, { headers: rangeHeaders(start, end), signal });
    if (response.ok) return response;
    response.body?.cancel().catch(() => {});
    stored = undefined;
    return;
  };
  return {
    name,
    byteLength: lengthBytes,
    async ask(start, end, signal) {
      const response = await askStored(start, end, signal);
      if (response) return response;
      const answer = await ask(account, name, url, { headers: rangeHeaders(start, end), signal });
      if (new URL(answer.url).origin !== new URL(url).origin) stored = answer.url;
      return answer.response;
    },
  };
}
