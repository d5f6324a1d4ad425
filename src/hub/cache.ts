import { lstat, readFile, readlink, stat } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { disk, makeFolders } from '../io/node/disk.js';
import { fileError } from '../io/node/file.js';
import { Output } from '../io/node/output.js';
import { hold, letGo, temporaryName } from '../io/node/temporary.js';
import type { Account } from './account.js';
import type { HubFile, Repository } from './repository.js';

/**
 * The cache of one repository, shared with Python's huggingface_hub: `refs` name commits, `snapshots` link a commit's files to `blobs`,
 * which are named by content. https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 * Python locks it with `flock`, which Node lacks. Here every file is written under a temporary name, checked, and renamed atomically, so
 * that concurrent writers do no harm.
 */
export class HubCache {
  private readonly folder: string;

  constructor({ cacheFolder }: Account, repository: string) {
    this.folder = join(cacheFolder, `models--${repository.replaceAll('/', '--')}`);
  }

  /** Returns the commit of a branch or tag as last requested; a commit is returned as it is. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (/^[0-9a-f]{40}$/.test(revision)) return revision;
    const stored = await readFile(this.ref(revision), 'utf8').catch(() => '');
    return /^[0-9a-f]{40}$/.exec(stored.trim())?.[0];
  }

  /** Records the commit of a branch or tag. @throws {InputError} when it cannot be written. */
  async remember(revision: string, commit: string): Promise<void> {
    if (revision === commit || (await this.commitOf(revision)) === commit) return;
    const path = this.ref(revision);
    await makeFolders(dirname(path)).catch((error) => {
      throw fileError(error, path);
    });
    const output = await Output.create(path, { force: true });
    try {
      await output.write(new TextEncoder().encode(commit));
      await output.finish();
    } catch (error) {
      await output.discard();
      throw error;
    }
  }

  /** Returns the folder of a commit's files. */
  snapshot(commit: string): string {
    return join(this.folder, 'snapshots', commit);
  }

  /** Returns the path of a file if it exists; its content is not checked. */
  async find({ commit }: Repository, { name }: HubFile): Promise<string | undefined> {
    const path = join(this.snapshot(commit), name);
    return (await stat(path).catch(() => undefined))?.isFile() ? path : undefined;
  }

  /** Returns the path of a file's content, which all commits share. It never holds a partial file. */
  blob({ etag }: HubFile): string {
    return join(this.folder, 'blobs', etag);
  }

  /**
   * Links a complete blob into a commit's snapshot.
   * @returns the created link; undefined if it existed. @throws {InputError} when it cannot be written.
   */
  async link({ commit }: Repository, file: HubFile): Promise<Made | undefined> {
    const path = join(this.snapshot(commit), file.name);
    const target = relative(dirname(path), this.blob(file));
    if ((await readlink(path).catch(() => undefined)) === target) return;
    const link = temporaryName(path, 'link');
    hold(link);
    try {
      await makeFolders(dirname(path));
      const isMade = await makeLink(target, link);
      const from = isMade ? link : this.blob(file); // without links, the blob itself is moved, as in Python
      const made = await Made.at(from, path);
      await disk.rename(from, path);
      await disk.syncFolder(dirname(path));
      return made;
    } catch (error) {
      await disk.unlink(link).catch(() => {});
      throw fileError(error, path);
    } finally {
      letGo(link);
    }
  }

  private ref(revision: string): string {
    return join(this.folder, 'refs', revision);
  }
}

const CANNOT_LINK: ReadonlySet<unknown> = new Set(['EPERM', 'EACCES', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP']);

/** Creates a symbolic link. @returns whether the system permits it. */
async function makeLink(target: string, path: string): Promise<boolean> {
  try {
    await disk.symlink(target, path);
    return true;
  } catch (error) {
    if (CANNOT_LINK.has((error as NodeJS.ErrnoException).code)) return false;
    throw error;
  }
}

/** A file created by this run. It is identified by its inode, so that another process's file of that name is not removed. */
export class Made {
  constructor(
    private readonly path: string,
    private readonly inode: bigint,
  ) {}

  /** Returns the file at `from`, which is about to be renamed to `path`. */
  static async at(from: string, path: string): Promise<Made> {
    return new Made(path, (await lstat(from, { bigint: true })).ino);
  }

  async remove(): Promise<void> {
    const there = await lstat(this.path, { bigint: true }).catch(() => undefined);
    if (there?.ino === this.inode) await disk.unlink(this.path).catch(() => {}); // already removed
  }
}
