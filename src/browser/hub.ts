import { InputError } from '../core/errors.js';
import { isPlainPath } from '../core/file-name.js';
import type { FolderFile } from '../core/folder.js';
import { wholeBody } from '../io/body.js';
import { HttpSource, rangeHeaders, statusLine } from '../io/http.js';
import { request } from '../io/request.js';

/** The Hub. */
const HUB = 'https://huggingface.co';
const MAX_PAGE_BYTES = 2 ** 24;
const MAX_FILES = 20_000;

/** A public model's repository on the Hub, at a branch, tag or commit. */
export interface HubModel {
  /** `user/name` */
  readonly repository: string;
  readonly revision: string;
}

/** Returns the address of a repository for people. */
export const hubPage = ({ repository }: HubModel) => `${HUB}/${repository}`;

/**
 * Lists the files of a public model.
 * @throws {InputError} when there is no such model, or it is private. @throws {ConnectionError} when the Hub cannot be reached.
 */
export async function listHubFiles(model: HubModel, signal?: AbortSignal): Promise<FolderFile[]> {
  const { repository: file, revision } = model;
  const files: FolderFile[] = [];
  let next: string | undefined =
    `${HUB}/api/models/${file}/tree/${encodeURIComponent(revision)}?recursive=true`;
  while (next) {
    const { response } = await request(file, next, { signal });
    if (response.status === 401 || response.status === 404)
      throw new InputError(`no public model of this name on the Hub${revisionOf(model)}`, { file });
    if (!response.ok) throw new InputError(statusLine('the Hub', response), { file });
    files.push(
      ...entriesOf(JSON.parse(new TextDecoder().decode(await wholeBody(response, MAX_PAGE_BYTES, file)))),
    );
    if (files.length > MAX_FILES) throw new InputError(`more than ${MAX_FILES} files`, { file });
    const link: string | undefined = /<([^>]+)>;\s*rel="next"/.exec(response.headers.get('link') ?? '')?.[1];
    next = link?.startsWith(`${HUB}/`) ? link : undefined;
  }
  return files;
}

const revisionOf = ({ revision }: HubModel) => (revision === 'main' ? '' : `, or no revision ${revision}`);

function entriesOf(page: unknown): FolderFile[] {
  if (!Array.isArray(page)) return [];
  return page.flatMap(({ type, path, size, lfs }) => {
    const lengthBytes = lfs?.size ?? size;
    const isFile = type === 'file' && isPlainPath(path) && Number.isSafeInteger(lengthBytes);
    return isFile ? [{ name: path as string, lengthBytes: lengthBytes as number }] : [];
  });
}

/** Returns a file of a public model, read by ranges. Its length is that of the listing. */
export function hubFile({ repository, revision }: HubModel, { name, lengthBytes }: FolderFile): HttpSource {
  const file = `${repository}/${name}`;
  const path = name.split('/').map(encodeURIComponent).join('/');
  const address = `${HUB}/${repository}/resolve/${encodeURIComponent(revision)}/${path}`;
  const ask = async (start: number, end: number, signal?: AbortSignal) => {
    const { response } = await request(file, address, { headers: rangeHeaders(start, end), signal });
    if (response.status === 401 || response.status === 403)
      throw new InputError(
        `gated: the Hub gives it only to those who were granted access at ${HUB}/${repository}`,
        {
          file,
        },
      );
    if (!response.ok) throw new InputError(statusLine('the Hub', response), { file });
    return withRange(response, `bytes ${start}-${end - 1}/${lengthBytes}`);
  };
  return new HttpSource({ name: file, byteLength: lengthBytes, ask });
}

/** Adds the range to an answer whose server does not let pages see it; its length is checked in any case. */
function withRange(response: Response, range: string): Response {
  if (response.status !== 206 || response.headers.has('content-range')) return response;
  return new Response(response.body, { status: 206, headers: { 'content-range': range } });
}
