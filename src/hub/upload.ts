import type { CommitOperation } from '@huggingface/hub';
import { InputError, isInputError } from '../core/errors.js';
import { type Account, readAccount } from './account.js';
import { hubFetch } from './exchange.js';
import { readRepository } from './repository.js';

export interface UploadOptions {
  /** Whether a new repository is private. */
  readonly private?: boolean;
  /** Called with the share of a file that was read or sent, from 0 to 1. */
  readonly onProgress?: (name: string, stage: string, share: number) => void;
}

/** Files by their names in the repository: text, or the location of a file on disk. */
export type Upload = Readonly<Record<string, string | URL>>;

/**
 * Returns the account to upload with.
 * @throws {InputError} when there is no token.
 */
export async function uploader(): Promise<Account> {
  const account = await readAccount();
  if (account.token !== undefined) return account;
  throw new InputError('uploading needs a Hugging Face token with write permission: set HF_TOKEN');
}

/**
 * Returns the names of a repository's files; creates the repository if it does not exist.
 * @throws {InputError} when the Hub refuses.
 */
export async function prepareRepository(
  account: Account,
  repository: string,
  options: UploadOptions,
): Promise<readonly string[]> {
  const { createRepo, HubApiError } = await import('@huggingface/hub');
  const isNew = await withInputErrors(repository, async () => {
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
  if (isNew) return [];
  return (await readRepository(account, repository, 'main')).files.map(({ name }) => name);
}

/**
 * Commits files to a repository. @returns the URL of the commit.
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
  return withInputErrors(repository, async () => {
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

/** Calls `action` and converts errors of the library to InputErrors. */
async function withInputErrors<Value>(repository: string, action: () => Promise<Value>): Promise<Value> {
  try {
    return await action();
  } catch (error) {
    if (isInputError(error)) throw error;
    throw new InputError(
      `upload failed (${(error as Error).message})`,
      { file: repository },
      { cause: error },
    );
  }
}
