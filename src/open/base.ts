import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { InputError } from '../core/errors.js';
import { problemOfPath } from '../core/file-name.js';
import type { Model } from '../core/model.js';
import { readAccount } from '../hub/account.js';
import { HubCache } from '../hub/cache.js';
import { type FindBase, unowned } from '../wpk/base.js';

/**
 * Returns what finds the base of a .wpk: the given one; else what has its name, in the file's folder, in the folder above it or in the current
 * one, with or without `.wpk`; else the model of that name in the Hub's cache. What a file names is never fetched.
 * @param open opens a model by its path.
 */
export function baseFinder(
  given: string | Model | undefined,
  open: (path: string) => Promise<Model>,
): FindBase {
  return async ({ name }, wpk) => {
    if (given !== undefined) return typeof given === 'string' ? open(given) : unowned(given);
    for (const path of await placesOf(name, wpk))
      if (await stat(path).then(Boolean, () => false)) return open(path);
    throw new InputError(
      `is stored as differences from ${JSON.stringify(name)}, which is not beside it`,
      { file: wpk },
      { code: 'needs-base' },
    );
  };
}

/** How a model on the Hub is named. */
const ON_HUB = /^([\w.-]+\/[\w.-]+)@([0-9a-f]{40})$/;

/** A file is not trusted to name paths: only a name in known folders. */
async function placesOf(name: string, wpk: string): Promise<string[]> {
  const [, repository, commit] = ON_HUB.exec(name) ?? [];
  if (repository !== undefined) return [new HubCache(await readAccount(), repository).snapshot(commit!)];
  if (name.includes('/') || problemOfPath(name)) return [];
  const folders = [dirname(wpk), join(dirname(wpk), '..'), '.'];
  return folders.flatMap((folder) => [join(folder, name), join(folder, `${name}.wpk`)]);
}
