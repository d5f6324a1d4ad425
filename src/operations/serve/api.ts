import { createHash } from 'node:crypto';
import { jsonReply, notFound, type Reply } from './reply.js';
import { type Content, contentOf, type Repository, type RepositoryFile } from './repository.js';
import type { Route } from './routes.js';

// Answers in JSON about a repository: what huggingface_hub, transformers.js and llama.cpp read of the Hub's.

/** Maximum number of entries on a page of a tree. */
const PAGE_ENTRIES = 1000;

/** A request about a repository that was found. */
export interface Asked {
  readonly route: Route;
  readonly repository: Repository;
  readonly query: URLSearchParams;
  /** Address of this server, as the client knows it. */
  readonly origin: string;
}

export function infoReply({ route: { name }, repository, query }: Asked): Reply {
  const { files } = repository;
  const hasBlobs = isTrue(query.get('blobs'));
  const siblings = [...files.values()].map((file) => ({
    rfilename: file.name,
    ...(hasBlobs && file.content && blobOf(file.content)),
  }));
  return jsonReply({ ...summaryOf(name, repository), gated: false, disabled: false, tags: [], siblings });
}

/** Lists repositories, those whose names contain `search` and begin with `author`. */
export function listReply(
  repositories: ReadonlyMap<string, Repository>,
  { query }: Pick<Asked, 'query'>,
): Reply {
  const search = (query.get('search') ?? '').toLowerCase();
  const author = query.get('author');
  const limit = Number(query.get('limit') || Number.POSITIVE_INFINITY);
  const found = [...repositories]
    .filter(([name]) => name.toLowerCase().includes(search))
    .filter(([name]) => !author || name.startsWith(`${author}/`))
    .slice(0, limit);
  return jsonReply(found.map(([name, repository]) => summaryOf(name, repository)));
}

export function refsReply({ repository: { commit } }: Asked): Reply {
  const main = { name: 'main', ref: 'refs/heads/main', targetCommit: commit };
  return jsonReply({ branches: [main], tags: [], converts: [] });
}

/** Names the GGUF file of a tag such as `Q8_0` or `latest`, as older versions of llama.cpp ask for it. */
export async function manifestReply({ route: { revision: tag }, repository }: Asked): Promise<Reply> {
  const all = [...repository.files.values()].filter(({ name }) => name.endsWith('.gguf'));
  const tagged = all.filter(({ name }) => name.toLowerCase().includes(tag.toLowerCase()));
  const file = tag === 'latest' ? all.at(-1) : tagged[0];
  if (!file) return notFound('EntryNotFound', 'no GGUF file of this tag');
  return jsonReply({ ggufFile: { rfilename: file.name, ...blobOf(await contentOf(file)) } });
}

/** Lists what is in a folder of a repository, or below it, page by page. */
export async function treeReply({ route: { name, path }, repository, query, origin }: Asked): Promise<Reply> {
  const { commit } = repository;
  const entries = entriesOf(repository, path, isTrue(query.get('recursive')));
  if (path && !entries.length)
    return notFound('EntryNotFound', 'no such folder', { 'x-repo-commit': commit });
  const size = Math.min(PAGE_ENTRIES, wholeNumber(query.get('limit'), 0) || PAGE_ENTRIES);
  const start = wholeNumber(query.get('cursor'), 0);
  const page = [];
  for (const entry of entries.slice(start, start + size))
    page.push({
      ...(typeof entry === 'string' ? folderEntry(entry, commit) : await fileEntry(entry)),
      ...(isTrue(query.get('expand')) && { lastCommit: lastCommit(repository) }),
    });
  const next = new URLSearchParams(query);
  next.set('cursor', `${start + size}`);
  const address = ['api', 'models', ...name.split('/'), 'tree', commit, ...path.split('/').filter(Boolean)]
    .map(encodeURIComponent)
    .join('/');
  const isLast = start + size >= entries.length;
  return jsonReply(page, isLast ? {} : { link: `<${origin}/${address}?${next}>; rel="next"` });
}

/** Returns files and, as their paths, folders. */
function entriesOf({ files }: Repository, path: string, isRecursive: boolean): (RepositoryFile | string)[] {
  const prefix = path ? `${path}/` : '';
  const found: (RepositoryFile | string)[] = [];
  const folders = new Set<string>();
  for (const file of files.values()) {
    if (!file.name.startsWith(prefix)) continue;
    const within = file.name.slice(prefix.length).split('/');
    for (let depth = 1; depth < (isRecursive ? within.length : Math.min(2, within.length)); depth++)
      folders.add(prefix + within.slice(0, depth).join('/'));
    if (isRecursive || within.length === 1) found.push(file);
  }
  return [...folders, ...found];
}

function summaryOf(name: string, { commit, modified }: Repository) {
  const date = modified.toISOString();
  return {
    _id: commit.slice(0, 24),
    id: name,
    modelId: name,
    sha: commit,
    lastModified: date,
    createdAt: date,
    private: false,
    downloads: 0,
    likes: 0,
  };
}

const folderEntry = (path: string, commit: string) => ({
  type: 'directory',
  oid: createHash('sha1').update(`${commit}/${path}`).digest('hex'),
  size: 0,
  path,
});

async function fileEntry(file: RepositoryFile) {
  const { blobId, ...blob } = blobOf(await contentOf(file));
  return { type: 'file', oid: blobId, ...blob, path: file.name };
}

const lastCommit = ({ commit, modified }: Repository) => ({
  id: commit,
  title: 'Served by weightpress',
  date: modified.toISOString(),
});

/** Describes a file as one in Git LFS, whatever its size: then its SHA-256 is all that has to be known. */
function blobOf({ length, sha256 }: Content) {
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${length}\n`;
  const pointerSize = Buffer.byteLength(pointer);
  return {
    size: length,
    blobId: createHash('sha1').update(`blob ${pointerSize}\0${pointer}`).digest('hex'),
    lfs: { oid: sha256, sha256, size: length, pointerSize },
  };
}

const isTrue = (value: string | null) => /^(1|true)$/i.test(value ?? '');

function wholeNumber(text: string | null, otherwise: number): number {
  return /^\d{1,9}$/.test(text ?? '') ? Number(text) : otherwise;
}
