import { stat } from 'node:fs/promises';
import type { CommitOperation } from '@huggingface/hub';
import { InputError, isInputError } from '../core/errors.js';
import { Meter, type RunOptions } from '../core/progress.js';
import { type Account, readAccount } from './account.js';
import { hubFetch } from './exchange.js';
import { readRepository } from './repository.js';

/** How files are uploaded. */
export interface UploadOptions extends RunOptions {
  /** Makes a new repository private; one that exists stays as it is. */
  readonly private?: boolean | undefined;
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
  const meters = new Meters(options, await lengthsOf(files));
  const { signal } = options;
  const { commitIter } = await import('@huggingface/hub');
  return withInputErrors(
    repository,
    async () => {
      const steps = commitIter({
        repo: repository,
        title,
        operations,
        hubUrl: account.endpoint,
        fetch: hubFetch(account, repository),
        ...(signal && { abortSignal: signal }),
      });
      for (;;) {
        signal?.throwIfAborted();
        const { done, value } = await steps.next();
        if (done) return value?.commit.url ?? `${account.endpoint}/${repository}`;
        if (value.event === 'fileProgress') meters.reach(value.path, value.state, value.progress);
      }
    },
    signal,
  );
}

async function lengthsOf(files: Upload): Promise<ReadonlyMap<string, number>> {
  const lengths = Object.entries(files).map(async ([name, content]) => {
    const length = typeof content === 'string' ? Buffer.byteLength(content) : (await stat(content)).size;
    return [name, length] as const;
  });
  return new Map(await Promise.all(lengths));
}

/** One stage for each file and what is done with it: `hashing model.wpk`, `uploading model.wpk`. */
class Meters {
  private readonly stages = new Map<string, Meter>();

  constructor(
    private readonly options: RunOptions,
    private readonly lengths: ReadonlyMap<string, number>,
  ) {}

  /** @param share of the file, from 0 to 1. */
  reach(name: string, state: string, share: number): void {
    const stage = `${state} ${name}`;
    const length = this.lengths.get(name) ?? 0;
    const meter = this.stages.get(stage) ?? new Meter(this.options, stage, length);
    this.stages.set(stage, meter);
    meter.reach(Math.round(share * length));
  }
}

/** Calls `action` and converts errors of the library to InputErrors. The reason of an abort passes. */
async function withInputErrors<Value>(
  repository: string,
  action: () => Promise<Value>,
  signal?: AbortSignal,
): Promise<Value> {
  try {
    return await action();
  } catch (error) {
    signal?.throwIfAborted();
    if (isInputError(error)) throw error;
    throw new InputError(
      `upload failed (${(error as Error).message})`,
      { file: repository },
      { cause: error },
    );
  }
}
