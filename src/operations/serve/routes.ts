/** What is asked of a repository. */
export type Ask = 'info' | 'tree' | 'refs' | 'resolve' | 'manifest';

/** What a path of the Hub's protocol may mean: a repository's name, what is asked of it, a revision, and a path in it. */
export interface Route {
  readonly ask: Ask;
  readonly name: string;
  readonly revision: string;
  readonly path: string;
}

/** Longest path and query that are read. */
const MAX_URL_LENGTH = 4096;

/** The first parts of a path, what may follow a name, and whether a revision, and then a path, follow that. */
const SHAPES: readonly {
  readonly prefix: readonly string[];
  readonly word?: string;
  readonly ask: Ask;
  readonly rest: 'nothing' | 'revision' | 'path';
}[] = [
  { prefix: ['api', 'models'], ask: 'info', rest: 'nothing' },
  { prefix: ['api', 'models'], word: 'revision', ask: 'info', rest: 'revision' },
  { prefix: ['api', 'models'], word: 'tree', ask: 'tree', rest: 'path' },
  { prefix: ['api', 'models'], word: 'refs', ask: 'refs', rest: 'nothing' },
  { prefix: ['v2'], word: 'manifests', ask: 'manifest', rest: 'revision' },
  { prefix: [], word: 'resolve', ask: 'resolve', rest: 'path' },
];

/** Splits a request's target into the parts of its path, decoded once, and its query. Returns undefined for one that is not a path, too long, or malformed. */
export function splitTarget(target: string) {
  if (!target.startsWith('/') || target.length > MAX_URL_LENGTH) return;
  const at = target.indexOf('?');
  const [path, query] = at < 0 ? [target, ''] : [target.slice(0, at), target.slice(at + 1)];
  try {
    const parts = path.slice(1).split('/').map(decodeURIComponent);
    if (parts.length > 1 && parts.at(-1) === '') parts.pop();
    return { parts, query: new URLSearchParams(query) };
  } catch {
    return undefined; // a percent sign that encodes nothing
  }
}

/** Returns all that a path may mean: a name has one part or two. */
export function routesOf(parts: readonly string[]): Route[] {
  return SHAPES.flatMap(({ prefix, word, ask, rest }) => {
    if (!prefix.every((part, i) => parts[i] === part)) return [];
    return [2, 1].flatMap((count) => {
      const after = parts.slice(prefix.length + count);
      const name = parts.slice(prefix.length, prefix.length + count);
      if (name.length < count) return [];
      if (word !== undefined && after.shift() !== word) return [];
      const revision = rest === 'nothing' ? 'main' : after.shift();
      if (revision === undefined || (after.length && rest !== 'path')) return [];
      return [{ ask, name: name.join('/'), revision, path: after.join('/') }];
    });
  });
}
