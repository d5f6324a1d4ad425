import { lstat, readFile, readlink, stat } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { disk, makeFolders } from '../io/node/disk.js';
import { fileError } from '../io/node/file.js';
import { Output } from '../io/node/output.js';
import { hold, letGo, temporaryName } from '../io/node/temporary.js';
import type { Account } from './account.js';
import type { HubFile, Repository } from './repository.js';

/**
 * The cache that Python's huggingface_hub keeps too: `refs` name commits, `snapshots` link a commit's files to `blobs`, which are named
 * by content. https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 * Python takes turns by `flock`, which Node does not have: here everything is made under a name of this run's, checked, and given its
 * name in one step, so that it does not matter who else is at it.
 */
export class HubCache {
  private readonly folder: string;

  constructor({ cacheFolder }: Account, repository: string) {
    this.folder = join(cacheFolder, `models--${repository.replaceAll('/', '--')}`);
  }

  /** The commit that a branch or tag was when it was last asked for; a commit is itself. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (/^[0-9a-f]{40}$/.test(revision)) return revision;
    const stored = await readFile(this.ref(revision), 'utf8').catch(() => '');
    return /^[0-9a-f]{40}$/.exec(stored.trim())?.[0];
  }

  /** @throws {InputError} when it cannot be written. */
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

  snapshot(commit: string): string {
    return join(this.folder, 'snapshots', commit);
  }

  /** Where a file lies, if it is there; what it holds is not known yet. */
  async find({ commit }: Repository, { name }: HubFile): Promise<string | undefined> {
    const path = join(this.snapshot(commit), name);
    return (await stat(path).catch(() => undefined))?.isFile() ? path : undefined;
  }

  /** The content of a file, whole or not there, whatever commits it is of. */
  blob({ etag }: HubFile): string {
    return join(this.folder, 'blobs', etag);
  }

  /**
   * Shows a whole blob in a commit's snapshot.
   * @returns what was made for it, unless it was shown before. @throws {InputError} when it cannot be written.
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
      const from = isMade ? link : this.blob(file); // where links are not allowed, as Python does
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

/** @returns whether the system lets us. */
async function makeLink(target: string, path: string): Promise<boolean> {
  try {
    await disk.symlink(target, path);
    return true;
  } catch (error) {
    if (CANNOT_LINK.has((error as NodeJS.ErrnoException).code)) return false;
    throw error;
  }
}

/** A name that this run has given to a file of its own: what somebody else gives it to stays. */
export class Made {
  constructor(
    private readonly path: string,
    private readonly inode: bigint,
  ) {}

  /** What is at `from` and is about to be renamed. */
  static async at(from: string, path: string): Promise<Made> {
    return new Made(path, (await lstat(from, { bigint: true })).ino);
  }

  async remove(): Promise<void> {
    const there = await lstat(this.path, { bigint: true }).catch(() => undefined);
    if (there?.ino === this.inode) await disk.unlink(this.path).catch(() => {}); // gone meanwhile
  }
}
