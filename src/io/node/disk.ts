import {
  constants,
  copyFile,
  type FileHandle,
  link,
  mkdir,
  open,
  rename,
  rm,
  rmdir,
  stat,
  symlink,
  unlink,
} from 'node:fs/promises';
import { dirname } from 'node:path';

/** Where the system has no such flag, as on Windows, links are rare and made by administrators. */
const NOT_THROUGH_A_LINK = constants.O_NOFOLLOW ?? 0;

/** File systems without folders that can be synced: what they promise, they promise without. */
const CANNOT_SYNC_FOLDERS: ReadonlySet<unknown> = new Set(['EINVAL', 'EISDIR', 'EPERM', 'EACCES', 'ENOTSUP']);

/**
 * Everything that changes a disk, in one table: outputs, the cache and temporary files are written by these alone, so that tests can
 * let the n-th of them fail, and can tell what a power cut after it would leave.
 */
export const disk = {
  /** Makes a file that was not there, for reading and writing. @throws EEXIST for anything of that name, a dangling link too. */
  create: (path: string): Promise<FileHandle> =>
    open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | NOT_THROUGH_A_LINK),

  /** Opens a file that is there, for reading and writing. @throws ELOOP when it is a link. */
  reopen: (path: string): Promise<FileHandle> => open(path, constants.O_RDWR | NOT_THROUGH_A_LINK),

  /** Copies to a name that was not there, sharing blocks where the file system can. */
  clone: (from: string, to: string): Promise<void> =>
    copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE),

  /** @returns how many bytes were written, at least 1. */
  write: async (handle: FileHandle, bytes: Uint8Array, position: number): Promise<number> =>
    (await handle.write(bytes, 0, bytes.length, position)).bytesWritten,

  truncate: (handle: FileHandle, length: number): Promise<void> => handle.truncate(length),
  sync: (handle: FileHandle): Promise<void> => handle.sync(),
  rename: (from: string, to: string): Promise<void> => rename(from, to),
  /** A second name for a file. @throws EEXIST when the name is taken, which `rename` would not say. */
  link: (from: string, to: string): Promise<void> => link(from, to),
  symlink: (target: string, path: string): Promise<void> => symlink(target, path),
  unlink: (path: string): Promise<void> => unlink(path),
  makeFolder: (path: string): Promise<void> => mkdir(path),
  removeFolder: (path: string): Promise<void> => rmdir(path),
  /** A folder with all that is in it. */
  removeTree: (path: string): Promise<void> => rm(path, { recursive: true, force: true }),

  /** Makes the names in a folder last. */
  syncFolder: async (path: string): Promise<void> => {
    let handle: FileHandle | undefined;
    try {
      handle = await open(path, 'r');
      await handle.sync();
    } catch (error) {
      if (!CANNOT_SYNC_FOLDERS.has((error as NodeJS.ErrnoException).code)) throw error;
    } finally {
      await handle?.close();
    }
  },
};

/** Makes the folders that a path lacks, and makes them last. @param made where they are noted. */
export async function makeFolders(path: string, made: string[] = []): Promise<void> {
  if (await stat(path).catch(() => undefined)) return;
  await makeFolders(dirname(path), made);
  try {
    await disk.makeFolder(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return; // by somebody else, meanwhile
    throw error;
  }
  made.push(path);
  await disk.syncFolder(dirname(path));
}

/** Writes all of it at a place of a file. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; )
    done += await disk.write(handle, bytes.subarray(done), position + done);
}

/** So many bytes of small pieces are gathered before they are written; tests that count operations gather fewer. */
export const GATHERED = { bytes: 2 ** 18 };

/** Writes a file from front to back: small pieces together, large ones as they come. One call at a time. */
export class Appender {
  private readonly gathered = new Uint8Array(GATHERED.bytes);
  private count = 0;

  /** @param written where in the file it begins. */
  constructor(
    private readonly handle: FileHandle,
    private written: number,
  ) {}

  /** Bytes of the file, those that are not written yet included. */
  get length(): number {
    return this.written + this.count;
  }

  /** Appends; the bytes must stay unchanged until it resolves. */
  async write(bytes: Uint8Array): Promise<void> {
    const isLarge = bytes.length >= this.gathered.length / 2;
    if (isLarge || this.count + bytes.length > this.gathered.length) await this.flush();
    if (!isLarge) {
      this.gathered.set(bytes, this.count);
      this.count += bytes.length;
      return;
    }
    await writeAll(this.handle, bytes, this.written);
    this.written += bytes.length;
  }

  /** Writes what was gathered. */
  async flush(): Promise<void> {
    const bytes = this.gathered.subarray(0, this.count);
    this.count = 0;
    await writeAll(this.handle, bytes, this.written);
    this.written += bytes.length;
  }

  /** Goes on behind the first `length` bytes. */
  async truncate(length: number): Promise<void> {
    await this.flush();
    await disk.truncate(this.handle, length);
    this.written = length;
  }
}
