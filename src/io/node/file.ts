import type { BigIntStats, Stats } from 'node:fs';
import { constants, type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { type ByteSource, checkRange } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';

/** What opens for reading never waits, not even for the writer of a pipe that took a file's place a moment ago. */
const READ_AT_ONCE = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);

/**
 * A file on disk, read by ranges. What is none is refused without opening it: a pipe would be waited for.
 * @param followsName whether `verify` refuses when another file has the name since.
 * @throws {InputError} when it cannot be opened or is not a regular file.
 */
export async function openFile(path: string, { followsName = true } = {}): Promise<ByteSource> {
  let handle: FileHandle | undefined;
  try {
    checkRegular(await stat(path), path);
    handle = await open(path, READ_AT_ONCE);
    const found = await handle.stat({ bigint: true });
    checkRegular(found, path);
    return new FileSource(path, found, handle, followsName);
  } catch (error) {
    await handle?.close();
    throw fileError(error, path);
  }
}

/** A whole file, small enough to be in memory. @throws {InputError} when it cannot be read or is not a regular file. */
export async function readBytes(path: string | URL): Promise<Buffer> {
  try {
    checkRegular(await stat(path), String(path));
    return await readFile(path);
  } catch (error) {
    throw fileError(error, String(path));
  }
}

/** What else has a name in a folder. */
const OTHER_KINDS = {
  isDirectory: 'a folder',
  isFIFO: 'a pipe',
  isSocket: 'a socket',
  isCharacterDevice: 'a device',
  isBlockDevice: 'a device',
} as const satisfies Partial<Record<keyof Stats, string>>;

function checkRegular(found: Stats | BigIntStats, path: string): void {
  if (found.isFile()) return;
  const kinds = Object.entries(OTHER_KINDS) as [keyof typeof OTHER_KINDS, string][];
  const kind = kinds.find(([is]) => found[is]())?.[1] ?? 'something else';
  throw new InputError(`not a regular file but ${kind}`, { file: path });
}

/** The same as text. @throws {InputError} when it cannot be read. */
export async function readText(path: string | URL): Promise<string> {
  return (await readBytes(path)).toString('utf8');
}

/** Turns an operating system's refusal into one line; other errors pass through unchanged. */
export function fileError(error: unknown, path: string): unknown {
  const said = SYSTEM_ERRORS[(error as NodeJS.ErrnoException)?.code ?? ''];
  return said ? new InputError(said, { file: path }, { cause: error }) : error;
}

const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EISDIR: 'is a directory',
  ENOTDIR: 'a part of the path is not a directory',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'disk quota exceeded',
  EROFS: 'the file system is read-only',
  EFBIG: 'the file is larger than the file system allows',
  EEXIST: 'already exists',
  ENAMETOOLONG: 'the name is too long',
  EMFILE: 'too many open files',
  ENFILE: 'too many open files',
  ELOOP: 'too many symbolic links',
  EIO: 'the device reported an error',
};

class FileSource implements ByteSource {
  readonly isLocal = true;
  readonly byteLength: number;

  constructor(
    readonly name: string,
    private readonly opened: BigIntStats,
    private readonly handle: FileHandle,
    private readonly followsName: boolean,
  ) {
    this.byteLength = Number(opened.size);
  }

  async read(start: number, end: number): Promise<Uint8Array> {
    checkRange(this, start, end);
    const bytes = new Uint8Array(end - start);
    await this.readInto(bytes, start);
    return bytes;
  }

  async readInto(target: Uint8Array, start: number): Promise<void> {
    const end = start + target.length;
    checkRange(this, start, end);
    for (let have = 0; have < target.length; ) {
      const { bytesRead } = await this.handle
        .read(target, have, target.length - have, start + have)
        .catch((error) => {
          throw fileError(error, this.name);
        });
      if (bytesRead === 0)
        throw new InputError('the file ended while being read', { file: this.name, start, end });
      have += bytesRead;
    }
  }

  /** @throws {InputError} when the file was written to, or another has its name, since it was opened. */
  async verify(): Promise<void> {
    const place = { file: this.name };
    const now = await this.handle.stat({ bigint: true });
    if (now.size !== this.opened.size)
      throw new InputError(
        `changed while being read: expected ${this.byteLength} bytes, found ${now.size}`,
        place,
      );
    if (now.mtimeNs !== this.opened.mtimeNs) throw new InputError('changed while being read', place);
    if (!this.followsName) return;
    const there = await stat(this.name, { bigint: true }).catch(() => undefined);
    if (there?.ino !== now.ino || there.dev !== now.dev)
      throw new InputError(`was ${there ? 'replaced' : 'removed'} while being read`, place);
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}
