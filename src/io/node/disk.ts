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

/** Refuses to open links. Windows lacks this flag, but links are rare there and made by administrators. */
const NOT_THROUGH_A_LINK = constants.O_NOFOLLOW ?? 0;

/** Errors of file systems on which folders cannot be synced; they are ignored. */
const CANNOT_SYNC_FOLDERS: ReadonlySet<unknown> = new Set(['EINVAL', 'EISDIR', 'EPERM', 'EACCES', 'ENOTSUP']);

/**
 * All operations that change the disk. Outputs, the cache and temporary files use only these, so that tests can let the n-th operation
 * fail, and can determine what a power failure after it would leave.
 */
export const disk = {
  /** Creates a new file for reading and writing. @throws EEXIST when anything has that name, even a dangling link. */
  create: (path: string): Promise<FileHandle> =>
    open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | NOT_THROUGH_A_LINK),

  /** Opens an existing file for reading and writing. @throws ELOOP when it is a link. */
  reopen: (path: string): Promise<FileHandle> => open(path, constants.O_RDWR | NOT_THROUGH_A_LINK),

  /** Copies a file to a new name, sharing blocks if the file system can. */
  clone: (from: string, to: string): Promise<void> =>
    copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE),

  /** Writes at a position. @returns the number of bytes written, at least 1. */
  write: async (handle: FileHandle, bytes: Uint8Array, position: number): Promise<number> =>
    (await handle.write(bytes, 0, bytes.length, position)).bytesWritten,

  truncate: (handle: FileHandle, length: number): Promise<void> => handle.truncate(length),
  sync: (handle: FileHandle): Promise<void> => handle.sync(),
  rename: (from: string, to: string): Promise<void> => rename(from, to),
  /** Adds a second name to a file. @throws EEXIST when the name is taken; `rename` would replace it. */
  link: (from: string, to: string): Promise<void> => link(from, to),
  symlink: (target: string, path: string): Promise<void> => symlink(target, path),
  unlink: (path: string): Promise<void> => unlink(path),
  makeFolder: (path: string): Promise<void> => mkdir(path),
  removeFolder: (path: string): Promise<void> => rmdir(path),
  /** Removes a folder and its contents. */
  removeTree: (path: string): Promise<void> => rm(path, { recursive: true, force: true }),

  /** Flushes the names in a folder to the disk. */
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

/** Creates missing folders of a path and syncs them. @param made receives the created paths. */
export async function makeFolders(path: string, made: string[] = []): Promise<void> {
  if (await stat(path).catch(() => undefined)) return;
  await makeFolders(dirname(path), made);
  try {
    await disk.makeFolder(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return; // created by another process
    throw error;
  }
  made.push(path);
  await disk.syncFolder(dirname(path));
}

/** Writes all bytes at a position of a file. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; )
    done += await disk.write(handle, bytes.subarray(done), position + done);
}

/**
 * Buffer size for small writes, and the bytes after which a sync begins: one sync at the end would let the program wait for all of them.
 * Tests use smaller ones.
 */
export const WRITE_BUFFER = { bytes: 2 ** 18, unsyncedBytes: 2 ** 26 };

/** Writes a file sequentially, with a buffer for small pieces; the disk gets long files on the way. Calls must not overlap. */
export class Appender {
  private readonly buffer = new Uint8Array(WRITE_BUFFER.bytes);
  private count = 0;
  /** Bytes written since the last sync began. */
  private unsynced = 0;
  private syncing: Promise<void> | undefined;
  private syncError: unknown;

  /** @param written offset in the file of the first byte to append. */
  constructor(
    private readonly handle: FileHandle,
    private written: number,
  ) {}

  /** Bytes of the file, including buffered ones. */
  get length(): number {
    return this.written + this.count;
  }

  /** Appends; the bytes must stay unchanged until it resolves. */
  async write(bytes: Uint8Array): Promise<void> {
    const isLarge = bytes.length >= this.buffer.length / 2;
    if (isLarge || this.count + bytes.length > this.buffer.length) await this.flush();
    if (!isLarge) {
      this.buffer.set(bytes, this.count);
      this.count += bytes.length;
      return;
    }
    await this.append(bytes);
  }

  /** Writes the buffered bytes. */
  async flush(): Promise<void> {
    const bytes = this.buffer.subarray(0, this.count);
    this.count = 0;
    await this.append(bytes);
  }

  /** Writes the buffered bytes, and waits until the disk has all. @throws the error of this sync or of one on the way. */
  async sync(): Promise<void> {
    await this.flush();
    await this.settle();
    await disk.sync(this.handle);
  }

  /** Waits for a sync that is under way, before the file is closed. @throws the error of a sync, which the system reports once. */
  async settle(): Promise<void> {
    await this.syncing;
    if (this.syncError) throw this.syncError;
  }

  private async append(bytes: Uint8Array): Promise<void> {
    await writeAll(this.handle, bytes, this.written);
    this.written += bytes.length;
    this.unsynced += bytes.length;
    if (this.unsynced < WRITE_BUFFER.unsyncedBytes || this.syncing) return;
    this.unsynced = 0;
    this.syncing = disk
      .sync(this.handle)
      .catch((error) => {
        this.syncError ??= error;
      })
      .finally(() => {
        this.syncing = undefined;
      });
  }

  /** Shortens the file to `length` bytes and continues from there. */
  async truncate(length: number): Promise<void> {
    await this.flush();
    await disk.truncate(this.handle, length);
    this.written = length;
  }
}
