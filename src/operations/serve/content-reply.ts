import { hasTag, parseRange } from './range.js';
import { type Reply, refusal } from './reply.js';
import { type Content, contentOf, type Repository, type RepositoryFile } from './repository.js';

/** Headers of a request that choose what of a file is sent. */
export interface Conditions {
  readonly range?: string | undefined;
  readonly 'if-range'?: string | undefined;
  readonly 'if-none-match'?: string | undefined;
}

/** Answers with a file or a part of it. @param isHead whether the body is left out. @throws {InputError} when it cannot be read. */
export async function contentReply(
  file: RepositoryFile,
  { commit }: Repository,
  { revision, isHead, headers }: { revision: string; isHead: boolean; headers: Conditions },
): Promise<Reply> {
  const content = await contentOf(file);
  const { length, sha256 } = content;
  const tag = `"${sha256}"`;
  const common = { ...headersOf(file.name, content), 'x-repo-commit': commit, ...caching(revision, commit) };
  if (hasTag(headers['if-none-match'], tag)) return { status: 304, headers: common };
  const isSame = headers['if-range'] === undefined || headers['if-range'] === tag;
  const part = isSame ? parseRange(headers.range, length) : undefined;
  if (part === 'unsatisfiable')
    return refusal(416, 'the range is behind the end', {
      ...common,
      'content-type': 'application/json',
      'content-range': `bytes */${length}`,
    });
  const { start, end } = part ?? { start: 0, end: length };
  const status = part ? 206 : 200;
  const of = part && { 'content-range': `bytes ${start}-${end - 1}/${length}` };
  const reply = { status, headers: { ...common, ...of, 'content-length': end - start } };
  if (isHead) return reply;
  const opened = await file.open();
  return {
    ...reply,
    body: { length: end - start, chunks: () => opened.read(start, end), close: opened.close },
  };
}

const percent = (character: string) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`;

/** No type that a browser would show as a page: names and bytes are a stranger's. */
function headersOf(name: string, { length, sha256 }: Content) {
  const base = name.split('/').at(-1)!;
  return {
    etag: `"${sha256}"`,
    'x-linked-etag': `"${sha256}"`,
    'x-linked-size': length,
    'accept-ranges': 'bytes',
    'content-type': name.endsWith('.json') ? 'application/json' : 'application/octet-stream',
    'content-disposition': `attachment; filename*=UTF-8''${encodeURIComponent(base).replaceAll(/['()*]/g, percent)}`,
  };
}

/** What a commit holds never changes; what `main` is may. */
function caching(revision: string, commit: string) {
  return {
    'cache-control': revision === commit ? 'private, max-age=31536000, immutable' : 'private, no-cache',
  };
}
