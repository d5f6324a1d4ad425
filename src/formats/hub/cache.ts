import { mkdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileError } from '../../io/file.js';
import type { Account } from './account.js';
import type { HubFile, Repository } from './repository.js';

/**
 * The cache that Python's huggingface_hub keeps too: `refs` name commits, `snapshots` link a commit's files to `blobs`, which are named
 * by content. https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */
export class HubCache {
  private readonly folder: string;

  constructor({ cacheFolder }: Account, repository: string) {
    this.folder = join(cacheFolder, `models--${repository.replaceAll('/', '--')}`);
  }

  /** The commit that a branch or tag was when it was last asked for; a commit is itself. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (/^[0-9a-f]{40}$/.test(revision)) return revision;
    const stored = await readFile(join(this.folder, 'refs', revision), 'utf8').catch(() => '');
    return /^[0-9a-f]{40}$/.exec(stored.trim())?.[0];
  }

  async remember(revision: string, commit: string): Promise<void> {
    if (revision === commit || (await this.commitOf(revision)) === commit) return;
    const path = join(this.folder, 'refs', revision);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, commit);
  }

  snapshot(commit: string): string {
    return join(this.folder, 'snapshots', commit);
  }

  /** Where a file lies, if all of it is there. */
  async find({ commit }: Repository, { name, lengthBytes }: HubFile): Promise<string | undefined> {
    const path = join(this.snapshot(commit), name);
    const found = await stat(path).catch(() => undefined);
    return found?.isFile() && found.size === lengthBytes ? path : undefined;
  }

  /** The content of a file, whole or not there, whatever commits it is of. */
  blob({ etag }: HubFile): string {
    return join(this.folder, 'blobs', etag);
  }

  /** Shows a whole blob in a commit's snapshot. @throws {InputError} when it cannot be written. */
  async link({ commit }: Repository, file: HubFile): Promise<string> {
    const path = join(this.snapshot(commit), file.name);
    const blob = this.blob(file);
    try {
      await mkdir(dirname(path), { recursive: true });
      await symlink(relative(dirname(path), blob), path).catch(async (error) => {
        if (error.code !== 'EEXIST') return rename(blob, path); // where links are not allowed, as Python does
        await symlink(relative(dirname(path), blob), `${path}.new`);
        await rename(`${path}.new`, path);
      });
    } catch (error) {
      throw fileError(error, path);
    }
    return path;
  }
}
