import type { CommitOperation } from '@huggingface/hub';
import { InputError, isInputError } from '../core/errors.js';
import { type Account, readAccount } from './account.js';
import { hubFetch } from './exchange.js';
import { readRepository } from './repository.js';

export interface UploadOptions {
  /** Of a repository that is made: not to be seen by others. */
  readonly private?: boolean;
  /** Of the files by name: how much of one is read or sent, from 0 to 1. */
  readonly onProgress?: (name: string, stage: string, share: number) => void;
}

/** Files by the names they get: text, or where one lies on disk. */
export type Upload = Readonly<Record<string, string | URL>>;

/**
 * The account to upload with.
 * @throws {InputError} without a token.
 */
export async function uploader(): Promise<Account> {
  const account = await readAccount();
  if (account.token !== undefined) return account;
  throw new InputError('uploading needs a token of the Hub that may write: set HF_TOKEN');
}

/**
 * The names that are in a repository, which is made when there is none.
 * @throws {InputError} when the Hub refuses.
 */
export async function prepareRepository(
  account: Account,
  repository: string,
  options: UploadOptions,
): Promise<readonly string[]> {
  const { createRepo, HubApiError } = await import('@huggingface/hub');
  const made = await told(repository, async () => {
    try {
      await createRepo({
        repo: repository,
        visibility: options.private ? 'private' : 'public',
        accessToken: '', // hubFetch sends the account's
        hubUrl: account.endpoint,
        fetch: hubFetch(account, repository, [409]),
      });
      return true;
    } catch (error) {
      if (error instanceof HubApiError && error.statusCode === 409) return false;
      throw error;
    }
  });
  if (made) return [];
  return (await readRepository(account, repository, 'main')).files.map(({ name }) => name);
}

/**
 * Commits files to a repository. @returns the address of the commit.
 * @throws {InputError} when the Hub refuses.
 */
export async function upload(
  account: Account,
  repository: string,
  title: string,
  files: Upload,
  options: UploadOptions,
): Promise<string> {
  const operations = Object.entries(files).map(
    ([path, content]): CommitOperation => ({
      operation: 'addOrUpdate',
      path,
      content: typeof content === 'string' ? new Blob([content]) : content,
    }),
  );
  const { commitIter } = await import('@huggingface/hub');
  return told(repository, async () => {
    const steps = commitIter({
      repo: repository,
      title,
      operations,
      hubUrl: account.endpoint,
      fetch: hubFetch(account, repository),
    });
    for (;;) {
      const { done, value } = await steps.next();
      if (done) return value?.commit.url ?? `${account.endpoint}/${repository}`;
      if (value.event === 'fileProgress') options.onProgress?.(value.path, value.state, value.progress);
    }
  });
}

/** The library's errors as one line; ours pass. */
async function told<Value>(repository: string, work: () => Promise<Value>): Promise<Value> {
  try {
    return await work();
  } catch (error) {
    if (isInputError(error)) throw error;
    throw new InputError(
      `the upload failed (${(error as Error).message})`,
      { file: repository },
      { cause: error },
    );
  }
}
