import { type FileHandle, lstat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InputError } from '../../core/errors.js';
import { Appender, disk, writeAll } from './disk.js';
import { fileError } from './file.js';
import { hold, letGo, temporaryName } from './temporary.js';

export interface OutputOptions {
  /** Whether to replace an existing file of that name on finishing. */
  readonly force?: boolean | undefined;
  /** Whether a later run can continue from it; if so it is not deleted when the process is interrupted. */
  readonly resumable?: boolean | undefined;
  /** Extension of the temporary name. */
  readonly ending?: string | undefined;
}

/** Another program created a file with the output's name in the meantime. */
export class NameTaken extends InputError {
  constructor(file: string) {
    super('was created by another program in the meantime', { file }, { code: 'exists' });
  }
}

/**
 * A file that gets its name only when it is complete and synced to the disk. Until then it has the temporary name `partial` in the same
 * folder. The temporary file remains if the process is killed and is removed if the work fails.
 */
export class Output {
  private readonly appender: Appender;
  private isOpen = true;

  private constructor(
    readonly path: string,
    /** Its temporary path. */
    readonly partial: string,
    private readonly handle: FileHandle,
    start: number,
    private readonly force: boolean,
  ) {
    this.appender = new Appender(handle, start);
  }

  /** Creates an output. @throws {InputError} when the folder cannot be written to. */
  static async create(
    path: string,
    { force = false, resumable, ending }: OutputOptions = {},
  ): Promise<Output> {
    const partial = temporaryName(path, ending);
    hold(partial, resumable);
    try {
      return new Output(path, partial, await disk.create(partial), 0, force);
    } catch (error) {
      letGo(partial);
      throw fileError(error, path);
    }
  }

  /**
   * Continues after the first `keep` bytes of the file at `partial`, a {@link temporaryName} of this process.
   * @throws {InputError} when it is not a regular file or cannot be written to.
   */
  static async resume(
    path: string,
    partial: string,
    keep: number,
    { force = false, resumable }: OutputOptions = {},
  ): Promise<Output> {
    hold(partial, resumable);
    let handle: FileHandle | undefined;
    try {
      handle = await disk.reopen(partial);
      if (!(await handle.stat()).isFile()) throw new InputError('not a regular file', { file: partial });
      await disk.truncate(handle, keep);
      return new Output(path, partial, handle, keep, force);
    } catch (error) {
      await handle?.close();
      letGo(partial);
      throw fileError(error, partial);
    }
  }

  /**
   * Creates an output from the first `keep` bytes of the existing file, which it will replace.
   * @throws {InputError} when there is none, or the folder cannot be written to.
   */
  static async copy(path: string, keep: number): Promise<Output> {
    const partial = temporaryName(path);
    hold(partial);
    try {
      await disk.clone(path, partial);
      return await Output.resume(path, partial, keep, { force: true });
    } catch (error) {
      await disk.unlink(partial).catch(() => {});
      letGo(partial);
      throw fileError(error, path);
    }
  }

  get length(): number {
    return this.appender.length;
  }

  /** Returns the inode, which identifies the file independently of its name. */
  async inode(): Promise<bigint> {
    return (await this.handle.stat({ bigint: true })).ino;
  }

  /** Sets whether the temporary file remains when the process is interrupted, because a later run can continue from it. */
  setResumable(resumable: boolean): void {
    hold(this.partial, resumable);
  }

  /** Appends; the bytes must stay unchanged until it resolves. One call at a time. */
  async write(bytes: Uint8Array): Promise<void> {
    try {
      await this.appender.write(bytes);
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  /** Writes buffered bytes, so that the file can be read before it is finished. */
  async flush(): Promise<void> {
    try {
      await this.appender.flush();
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  /** Writes over bytes that were flushed. */
  async overwrite(bytes: Uint8Array, position: number): Promise<void> {
    try {
      await writeAll(this.handle, bytes, position);
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  /** Shortens the file to `length` bytes. */
  async truncate(length: number): Promise<void> {
    try {
      await this.appender.truncate(length);
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  /** Closes the file, which keeps its temporary name. */
  async close(): Promise<void> {
    letGo(this.partial);
    try {
      if (this.isOpen) await this.appender.flush();
      await this.closeHandle();
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  /**
   * Syncs the file, gives it its name and syncs the folder.
   * @param check called just before renaming. @throws {NameTaken} if the name is taken, unless `force`. @throws {InputError} when the disk
   * fails.
   */
  async finish(check?: () => Promise<void> | undefined): Promise<void> {
    try {
      await this.appender.sync();
      if (!(await this.isOurs()))
        throw new InputError('was replaced by another program while it was being written', {
          file: this.partial,
        });
      await check?.();
      await (this.force ? disk.rename(this.partial, this.path) : takeName(this.partial, this.path));
      letGo(this.partial);
      await this.closeHandle();
      await disk.syncFolder(dirname(this.path));
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  /** Returns whether the file got its name, although {@link finish} failed afterwards. */
  async hasName(): Promise<boolean> {
    return !this.isOpen || (await this.isOurs(this.path).catch(() => false));
  }

  /** Removes the temporary file, unless it is no longer this run's. A file that already has the output's name stays. */
  async discard(): Promise<void> {
    const isOurs = this.isOpen && (await this.isOurs().catch(() => false));
    await this.closeHandle().catch(() => {});
    const remove = () => disk.unlink(this.partial);
    // retried once here, and again when the process ends
    const isGone = !isOurs || (await remove().catch(remove).then(isTrue, isFalse));
    if (isGone) letGo(this.partial);
  }

  /** Returns whether a path, by default the temporary one, leads to the file that was opened. */
  private async isOurs(path = this.partial): Promise<boolean> {
    const [own, there] = await Promise.all([
      this.handle.stat({ bigint: true }),
      lstat(path, { bigint: true }).catch(() => undefined),
    ]);
    return there?.dev === own.dev && there.ino === own.ino;
  }

  private async closeHandle(): Promise<void> {
    if (!this.isOpen) return;
    this.isOpen = false;
    await this.appender.settle().catch(() => {}); // of no more use, or reported by `finish`
    await this.handle.close();
  }
}

const isTrue = () => true;
const isFalse = () => false;

/** Errors of file systems without hard links. */
const CANNOT_LINK: ReadonlySet<unknown> = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK']);

/** Renames a file without replacing another. @throws {NameTaken} when the name is taken. */
async function takeName(from: string, to: string): Promise<void> {
  try {
    await disk.link(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isTaken = code === 'EEXIST' || (CANNOT_LINK.has(code) && (await exists(to)));
    if (isTaken) throw new NameTaken(to);
    if (!CANNOT_LINK.has(code)) throw error;
    return disk.rename(from, to);
  }
  await disk.unlink(from).catch((error) => {
    throw fileError(error, from);
  });
}

/** Returns whether anything has this name, even a dangling link. */
export async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}
