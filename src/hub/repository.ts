import { createHash, type Hash } from 'node:crypto';
import { ConnectionError, InputError, isInputError } from '../core/errors.js';
import type { FolderFile } from '../core/folder.js';
import type { Account } from './account.js';
import { hubFetch } from './exchange.js';

/** A file in the Hub's listing. */
export interface HubFile extends FolderFile {
  /** Its name in the cache: the SHA-256 of a large file, the git object of a small one. */
  readonly etag: string;
  /** SHA-256 of a large file (LFS, Xet). */
  readonly sha256: string | undefined;
}

/** Returns a hash that, updated with the file's content, yields its `etag`. */
export function digestOf({ sha256, lengthBytes }: Pick<HubFile, 'sha256' | 'lengthBytes'>): Hash {
  return sha256 === undefined ? createHash('sha1').update(`blob ${lengthBytes}\0`) : createHash('sha256');
}

/** A model's repository at one commit. */
export interface Repository {
  /** `user/name` */
  readonly name: string;
  readonly commit: string;
  readonly files: readonly HubFile[];
}

const MAX_FILES = 100_000;

const isDigest = (value: unknown): value is string =>
  typeof value === 'string' && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(value);

/**
 * Requests the commit of a revision and its list of files.
 * @throws {InputError} when the Hub refuses or its response is malformed.
 */
export async function readRepository(account: Account, name: string, revision: string): Promise<Repository> {
  const common = { hubUrl: account.endpoint, fetch: hubFetch(account, name) };
  const { listFiles, modelInfo } = await import('@huggingface/hub'); // loaded only here: it takes 0.1 s
  try {
    const { sha } = await modelInfo({ ...common, name, revision, additionalFields: ['sha'] });
    if (!isDigest(sha) || sha.length !== 40) throw new TypeError('the commit is missing');
    const files: HubFile[] = [];
    for await (const { type, path, size, oid, lfs } of listFiles({
      ...common,
      repo: name,
      revision: sha,
      recursive: true,
    })) {
      if (type !== 'file') continue;
      const lengthBytes = lfs?.size ?? size;
      const etag = lfs?.oid ?? oid ?? '';
      if (
        typeof path !== 'string' ||
        !Number.isSafeInteger(lengthBytes) ||
        lengthBytes < 0 ||
        !isDigest(etag)
      )
        throw new TypeError(`the entry of ${path} is malformed`);
      files.push({ name: path, lengthBytes, etag, sha256: lfs?.oid });
      if (files.length > MAX_FILES) throw new TypeError(`more than ${MAX_FILES} files`);
    }
    return { name, commit: sha, files };
  } catch (error) {
    if (error instanceof ConnectionError)
      throw new ConnectionError(
        `no such local file; the Hub: ${error.message.replace(`${name}: `, '')}`,
        { file: name },
        { cause: error },
      );
    if (isInputError(error)) throw error;
    throw new InputError(
      `unexpected response of the Hub (${(error as Error).message})`,
      { file: name },
      { cause: error },
    );
  }
}
