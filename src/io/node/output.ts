import { type FileHandle, lstat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InputError } from '../../core/errors.js';
import { Appender, disk } from './disk.js';
import { fileError } from './file.js';
import { hold, letGo, temporaryName } from './temporary.js';

export interface OutputOptions {
  /** Replace a file that has the name by the time this one is whole. */
  readonly force?: boolean | undefined;
  /** A later run can go on from it: it is kept when the process is told to stop. */
  readonly resumable?: boolean | undefined;
  /** Of the name that it has in the making. */
  readonly ending?: string | undefined;
}

/** Another program has made a file of an output's name while that was in the making. */
export class NameTaken extends InputError {
  constructor(file: string) {
    super('was made by another program meanwhile', { file }, { code: 'exists' });
  }
}

/**
 * A file that appears under its name only when it is whole and safe on the disk. Until then it is `partial`, a name beside it that is
 * this run's alone, opened exclusively; it stays when the process is killed and is removed when the work fails.
 */
export class Output {
  private readonly appender: Appender;
  private isOpen = true;

  private constructor(
    readonly path: string,
    /** Where it is made. */
    readonly partial: string,
    private readonly handle: FileHandle,
    start: number,
    private readonly force: boolean,
  ) {
    this.appender = new Appender(handle, start);
  }

  /** @throws {InputError} when the place cannot be written to. */
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
   * Takes over what is at `partial`, a name of {@link temporaryName} that this process alone knows, and goes on behind its first
   * `keep` bytes.
   * @throws {InputError} when it is no file, or cannot be written to.
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
   * Begins with the first `keep` bytes of the file that has the name now, which it will replace.
   * @throws {InputError} when there is none, or the place cannot be written to.
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

  /** Which file it is, whatever name it has, or somebody gives its name to. */
  async inode(): Promise<bigint> {
    return (await this.handle.stat({ bigint: true })).ino;
  }

  /** Appends; the bytes must stay unchanged until it resolves. One call at a time. */
  async write(bytes: Uint8Array): Promise<void> {
    try {
      await this.appender.write(bytes);
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  /** Writes what was gathered, for who reads the file while it is made. */
  async flush(): Promise<void> {
    try {
      await this.appender.flush();
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  /** Forgets what is behind the first `length` bytes. */
  async truncate(length: number): Promise<void> {
    try {
      await this.appender.truncate(length);
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  /** Ends the writing; the file keeps its partial name. */
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
   * Gives the file its name, once its bytes are safe; when it returns, the name is too.
   * @param check what must still hold right before. @throws {NameTaken} unless `force`. @throws {InputError} when the disk refuses.
   */
  async finish(check?: () => Promise<void> | undefined): Promise<void> {
    try {
      await this.appender.flush();
      await disk.sync(this.handle);
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

  /** Leaves nothing behind of what this run made; what has its name already stays. */
  async discard(): Promise<void> {
    const isOurs = this.isOpen && (await this.isOurs().catch(() => false));
    await this.closeHandle().catch(() => {});
    const remove = () => disk.unlink(this.partial);
    // a disk that refuses is asked once more; then the file is tried again when the process ends
    const isGone = !isOurs || (await remove().catch(remove).then(isTrue, isFalse));
    if (isGone) letGo(this.partial);
  }

  /** Whether the name still leads to the file that was opened. */
  private async isOurs(): Promise<boolean> {
    const [own, there] = await Promise.all([
      this.handle.stat({ bigint: true }),
      lstat(this.partial, { bigint: true }).catch(() => undefined),
    ]);
    return there?.dev === own.dev && there.ino === own.ino;
  }

  private async closeHandle(): Promise<void> {
    if (!this.isOpen) return;
    this.isOpen = false;
    await this.handle.close();
  }
}

const isTrue = () => true;
const isFalse = () => false;

/** Errors of file systems that have no second names for files. */
const CANNOT_LINK: ReadonlySet<unknown> = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK']);

/** Renames a file to a name that must not be taken. @throws {NameTaken} when it is. */
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

/** A link that leads nowhere is there too. */
export async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}
