import { stat } from 'node:fs/promises';
import type { ByteSource } from '../core/byte-source.js';
import { ConnectionError, InputError } from '../core/errors.js';
import { problemOfPath } from '../core/file-name.js';
import type { Folder, FolderFile } from '../core/folder.js';
import { NOTICES } from '../core/notices.js';
import type { RunOptions } from '../core/progress.js';
import { HttpSource } from '../io/http.js';
import { SequentialSource } from '../io/node/sequential.js';
import { LocalFolder } from '../models/node/local.js';
import { type Account, readAccount } from './account.js';
import type { HubAddress } from './address.js';
import { HubCache, type Made } from './cache.js';
import { contentByName, openContent } from './content.js';
import { download } from './download.js';
import { hubFile } from './file.js';
import { digestOf, type HubFile, type Repository, readRepository } from './repository.js';

/**
 * How files of the Hub are read: by ranges on demand; from front to back with a digest check; or downloaded into the cache, checked, and
 * read from there.
 */
export type Reading = 'ranges' | 'sequential' | 'download';

/** A repository of the Hub whose files may have been brought into the cache. */
export interface FetchedFolder {
  /** `user/name@commit` */
  readonly id: string;
  /** Removes from the cache what was brought there. */
  forget(): Promise<void>;
}

/** How a repository of the Hub is read, and what reports its downloads and ends them. */
export interface HubOptions extends RunOptions {
  /** By default `ranges`. */
  readonly reading?: Reading | undefined;
  /** Is called with the repository once it is found. */
  readonly onFolder?: ((folder: FetchedFolder) => void) | undefined;
}

/** A model's repository as a folder. What is in the cache is read there; the rest as the options say. */
export class HubFolder implements Folder, FetchedFolder {
  readonly kind = 'hub';
  readonly id: string;
  private readonly fetched: Made[] = [];

  private constructor(
    private readonly account: Account,
    private readonly cache: HubCache,
    private readonly repository: Repository,
    private readonly options: HubOptions,
  ) {
    this.id = `${repository.name}@${repository.commit}`;
  }

  /**
   * Opens a revision of a repository. Offline, or when the Hub cannot be reached, a cached revision with weights is used.
   * @throws {InputError} when the Hub refuses, or the repository is neither reachable nor cached.
   */
  static async open({ repository, revision }: HubAddress, options: HubOptions = {}): Promise<Folder> {
    const account = await readAccount();
    const cache = new HubCache(account, repository);
    if (account.offline) {
      const folder = await cachedFolder(cache, repository, revision);
      if (folder) return folder;
      throw new InputError('not in the cache, and HF_HUB_OFFLINE is set', { file: repository });
    }
    let found: Repository;
    try {
      found = await readRepository(account, repository, revision);
    } catch (error) {
      const folder = error instanceof ConnectionError && (await cachedFolder(cache, repository, revision));
      if (!folder) throw error;
      NOTICES.show(`the Hub cannot be reached: reading the cached files of ${folder.id}`);
      return folder;
    }
    if (options.reading === 'download') await cache.remember(revision, found.commit);
    const folder = new HubFolder(account, cache, found, options);
    options.onFolder?.(folder);
    return folder;
  }

  async list(): Promise<readonly FolderFile[]> {
    return this.repository.files;
  }

  place(name: string): string {
    return `${this.repository.name}/${name}`;
  }

  async open(name: string): Promise<ByteSource> {
    const problem = problemOfPath(name);
    if (problem) throw new InputError(`its name ${problem}`, { file: this.place(name) });
    const file = this.repository.files.find((candidate) => candidate.name === name);
    if (!file) throw new InputError('no such file in the repository', { file: this.place(name) });
    const cached = await this.cache.find(this.repository, file);
    if (cached !== undefined) return openContent(cached, file);
    const remote = hubFile(this.account, this.repository, file);
    if (this.options.reading === 'download') return this.fetch(file);
    return this.options.reading === 'sequential'
      ? new SequentialSource(remote, digestOf(file), file.etag)
      : new HttpSource(remote);
  }

  async forget(): Promise<void> {
    for (const made of this.fetched.splice(0).reverse()) await made.remove();
  }

  private async fetch(file: HubFile): Promise<ByteSource> {
    const remote = hubFile(this.account, this.repository, file);
    const blob = this.cache.blob(file);
    const isThere = await stat(blob).catch(() => undefined);
    const fetched = isThere ? undefined : await download(remote, file, blob, this.options);
    if (fetched) this.fetched.push(fetched);
    const source = await openContent(blob, file);
    try {
      const made = await this.cache.link(this.repository, file);
      if (made) this.fetched.push(made);
      return source;
    } catch (error) {
      await source.close();
      throw error;
    }
  }
}

/** A cached revision, read without the Hub. Files are checked against the digests in their blobs' names. */
class CachedFolder extends LocalFolder {
  override async open(name: string): Promise<ByteSource> {
    const path = this.place(name);
    const content = await contentByName(path);
    return content ? openContent(path, content) : super.open(name);
  }
}

/** A cached revision without any such file is not a downloaded model. */
const WEIGHTS = /\.(safetensors|bin|pt|pth|ckpt|gguf|onnx|wpk)$/;

/** Returns the cached files of a branch, tag or commit; undefined if no weights are cached. */
async function cachedFolder(
  cache: HubCache,
  repository: string,
  revision: string,
): Promise<CachedFolder | undefined> {
  const commit = await cache.commitOf(revision);
  if (commit === undefined) return;
  const folder = new CachedFolder(cache.snapshot(commit), `${repository}@${commit}`);
  const files = await folder.list().catch(() => []);
  return files.some(({ name }) => WEIGHTS.test(name)) ? folder : undefined;
}
