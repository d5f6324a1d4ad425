import { isInputError } from '../../core/errors.js';
import { type Asked, infoReply, listReply, manifestReply, refsReply, treeReply } from './api.js';
import { type Conditions, contentReply } from './content-reply.js';
import type { Library } from './library.js';
import type { Workshop } from './made.js';
import { notFound, type Reply, refusal, textReply } from './reply.js';
import type { Repository } from './repository.js';
import { type Ask, type Route, routesOf, splitTarget } from './routes.js';

/** A request as it arrives. */
export interface Request {
  readonly method: string;
  /** Path and query, as they were sent. */
  readonly target: string;
  readonly origin: string;
  readonly headers: Conditions & { readonly authorization?: string | undefined };
}

/** What the protocol is served from. */
export interface Served {
  readonly library: Library;
  readonly workshop: Workshop;
  /** Tells whether an Authorization header allows reading. */
  readonly allows: (authorization: string | undefined) => boolean;
  readonly metrics: () => Promise<string>;
}

const ABOUT: Readonly<Record<Exclude<Ask, 'resolve'>, (asked: Asked) => Reply | Promise<Reply>>> = {
  info: infoReply,
  tree: treeReply,
  refs: refsReply,
  manifest: manifestReply,
};

/** Returns the answer to a request. @throws {InputError} when a file cannot be read or made. */
export async function replyTo(request: Request, served: Served): Promise<Reply> {
  const { method, target, headers } = request;
  if (method === 'OPTIONS') return { status: 204, headers: { 'content-length': 0 } };
  if (method !== 'GET' && method !== 'HEAD')
    return refusal(405, 'this server is read-only', { allow: 'GET, HEAD, OPTIONS' });
  const split = splitTarget(target);
  if (!split) return refusal(400, 'malformed address');
  const path = split.parts.join('/');
  if (path === 'healthz') return textReply('ok\n', 'text/plain');
  if (!served.allows(headers.authorization))
    return refusal(401, 'a token is needed: Authorization: Bearer TOKEN', { 'www-authenticate': 'Bearer' });
  if (path === 'metrics') return textReply(await served.metrics(), 'text/plain; version=0.0.4');
  if (path === 'api/models') return listReply(await served.library.repositories(), split);
  const routes = routesOf(split.parts);
  if (!routes.length) return refusal(404, 'no such page');
  const found = await findRoute(routes, served);
  if (!found) return notFound('RepoNotFound', 'no such model');
  try {
    return await replyAbout(found, request, split.query);
  } catch (error) {
    if (!isInputError(error)) throw error;
    const now = await findRoute(routes, served, 0); // the file may have been replaced or removed
    if (!now) return notFound('RepoNotFound', 'no such model');
    if (now.repository === found.repository) throw error;
    return replyAbout(now, request, split.query);
  }
}

interface FoundRoute {
  readonly route: Route;
  readonly repository: Repository;
}

async function findRoute(
  routes: readonly Route[],
  { library, workshop }: Served,
  maxAgeMs?: number,
): Promise<FoundRoute | undefined> {
  const stored = await library.repositories(maxAgeMs);
  for (const route of routes) {
    const repository = stored.get(route.name) ?? (await workshop.repository(route.name, stored));
    if (repository) return { route, repository };
  }
  return undefined;
}

async function replyAbout(
  { route, repository }: FoundRoute,
  { method, headers, origin }: Request,
  query: URLSearchParams,
): Promise<Reply> {
  const { ask, revision, path } = route;
  const { commit, files } = repository;
  if (ask !== 'manifest' && revision !== 'main' && revision !== commit)
    return notFound('RevisionNotFound', `no such revision; there is main, which is ${commit}`);
  if (ask !== 'resolve') return ABOUT[ask]({ route, repository, query, origin });
  const file = files.get(path);
  if (!file) return notFound('EntryNotFound', 'no such file', { 'x-repo-commit': commit });
  return contentReply(file, repository, { revision, isHead: method === 'HEAD', headers });
}
