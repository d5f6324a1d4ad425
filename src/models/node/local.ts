import { readdir, readlink, realpath, stat } from 'node:fs/promises';
import { join, relative, resolve, sep } from 'node:path';
import type { ByteSource } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';
import { problemOfPath } from '../../core/file-name.js';
import type { Folder, FolderFile, LeftOut, Listing } from '../../core/folder.js';
import { fileError, openFile } from '../../io/node/file.js';

/** More files than any model has; the folder is probably the wrong one. */
const MAX_FILES = 100_000;

/** A folder on disk. Links are followed if they stay inside it. */
export class LocalFolder implements Folder {
  readonly kind = 'directory';

  /** @param path of the folder. @param id its name in messages, if not the path: a cached repository has that of the Hub. */
  constructor(
    private readonly path: string,
    readonly id = path,
  ) {}

  async list(): Promise<readonly FolderFile[]> {
    return (await this.listAll()).files;
  }

  async listAll(): Promise<Listing> {
    const root = await realpath(this.path).catch((error) => {
      throw fileError(error, this.path);
    });
    const walk = new Walk(root);
    await walk.folder('', [root]);
    return walk;
  }

  open(name: string): Promise<ByteSource> {
    return openFile(this.place(name));
  }

  place(name: string): string {
    return join(this.path, name);
  }
}

/** Collects the entries of a folder and its subfolders. */
class Walk implements Listing {
  readonly files: FolderFile[] = [];
  readonly emptyFolders: string[] = [];
  readonly leftOut: LeftOut[] = [];
  readonly refused: LeftOut[] = [];
  private readonly allowed: readonly string[];

  constructor(private readonly root: string) {
    this.allowed = allowedIn(root);
  }

  /** @param prefix of the files' names. @param above real paths of the enclosing folders, ending with this folder. */
  async folder(prefix: string, above: readonly string[]): Promise<void> {
    const path = join(this.root, prefix);
    const names = await readdir(path, { encoding: 'buffer' }).catch((error) => {
      throw fileError(error, path);
    });
    if (!names.length && prefix) this.emptyFolders.push(prefix.slice(0, -1));
    for (const bytes of names.sort(Buffer.compare)) {
      const name = prefix + bytes.toString('utf8');
      if (bytes.toString('utf8') === '.git') this.leftOut.push({ name, reason: 'version control' });
      else if (!Buffer.from(bytes.toString('utf8')).equals(bytes))
        this.refused.push({ name, reason: 'its name is not UTF-8' });
      else await this.entry(name, above);
    }
  }

  private async entry(name: string, above: readonly string[]): Promise<void> {
    const refuse = (reason: string) => this.refused.push({ name, reason });
    const problem = problemOfPath(name);
    if (problem) return void refuse(`its name ${problem}`);
    const path = join(this.root, name);
    const real = await realpath(path).catch(() => undefined);
    if (real === undefined) return void refuse(`a dangling link${await target(path)}`);
    if (!this.allowed.some((folder) => isInside(real, folder)))
      return void refuse(`a link out of the folder${await target(path)}`);
    const found = await stat(real).catch((error) => {
      throw fileError(error, path);
    });
    if (found.isFile()) this.files.push({ name, lengthBytes: found.size });
    else if (!found.isDirectory()) refuse('expected a file, found a pipe, socket or device');
    else if (above.includes(real)) refuse('a link to an enclosing folder');
    else await this.folder(`${name}/`, [...above, real]);
    if (this.files.length > MAX_FILES)
      throw new InputError(`over ${MAX_FILES} files; expected the folder of one model`, {
        file: this.root,
      });
  }
}

/**
 * Opens a file of a folder on disk; undefined where there is none. Links are followed if they stay inside, as in {@link LocalFolder}.
 * @param name its path in the folder, which has been checked. @throws {InputError} for a link out of the folder, and what is no file.
 */
export async function openInside(folder: string, name: string): Promise<ByteSource | undefined> {
  const path = join(folder, name);
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined) return undefined;
  if (!allowedIn(await realpath(folder)).some((allowed) => isInside(real, allowed)))
    throw new InputError(`a link out of the folder${await target(path)}`, { file: path });
  return openFile(path);
}

/** Returns the folders that links in a folder may lead to: itself and, for a snapshot in the Hub's cache, the blobs of its repository. */
function allowedIn(root: string): string[] {
  const [, repository] = /^(.*)[\\/]snapshots[\\/][0-9a-f]{40}(?:[\\/].*)?$/.exec(root) ?? [];
  return repository === undefined ? [root] : [root, join(repository, 'blobs')];
}

function isInside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}

async function target(path: string): Promise<string> {
  return readlink(path).then(
    (link) => `, ${link}`,
    () => '',
  );
}

/** Returns a path relative to a folder, with `/` as separator; undefined if it is outside. Links are resolved. */
export async function nameIn(folder: string, path: string): Promise<string | undefined> {
  const real = (where: string) => realpath(where).catch(() => resolve(where));
  const name = relative(
    await real(folder),
    join(await real(resolve(path, '..')), path.split(/[\\/]/).at(-1)!),
  );
  return name.startsWith('..') || name === '' ? undefined : name.split(sep).join('/');
}
