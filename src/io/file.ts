import { type FileHandle, open, readFile } from 'node:fs/promises';
import { InputError } from '../errors.js';
import { type ByteSource, checkRange } from './source.js';

/**
 * A file on disk, read by ranges.
 * @throws {InputError} when it cannot be opened or is not a regular file.
 */
export async function openFile(path: string): Promise<ByteSource> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    const stat = await handle.stat();
    if (!stat.isFile()) throw new InputError('not a regular file', { file: path });
    return new FileSource(path, stat.size, handle);
  } catch (error) {
    await handle?.close();
    throw fileError(error, path);
  }
}

/** A whole file, small enough to be in memory. @throws {InputError} when it cannot be read. */
export function readBytes(path: string | URL): Promise<Buffer> {
  return readFile(path).catch((error) => {
    throw fileError(error, String(path));
  });
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
  ELOOP: 'too many symbolic links',
  EIO: 'the device reported an error',
};

class FileSource implements ByteSource {
  constructor(
    readonly name: string,
    readonly byteLength: number,
    private readonly handle: FileHandle,
  ) {}

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
      const { bytesRead } = await this.handle.read(target, have, target.length - have, start + have);
      if (bytesRead === 0)
        throw new InputError('the file ended while being read', { file: this.name, start, end });
      have += bytesRead;
    }
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}
