import { type BigIntStats, readSync, type Stats } from 'node:fs';
import { constants, type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { type ByteSource, checkRange } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';

/** Opens without blocking, even if a pipe has just replaced the file. */
const READ_NONBLOCKING = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);

/**
 * Opens a file on disk for reading by ranges. Its type is checked before opening, because opening a pipe would block.
 * @param followsName whether `verify` also checks that the path still leads to this file.
 * @throws {InputError} when it cannot be opened or is not a regular file.
 */
export async function openFile(path: string, { followsName = true } = {}): Promise<ByteSource> {
  let handle: FileHandle | undefined;
  try {
    checkRegular(await stat(path), path);
    handle = await open(path, READ_NONBLOCKING);
    const found = await handle.stat({ bigint: true });
    checkRegular(found, path);
    return new FileSource(path, found, handle, followsName);
  } catch (error) {
    await handle?.close();
    throw fileError(error, path);
  }
}

/** Reads a whole file into memory. @throws {InputError} when it cannot be read or is not a regular file. */
export async function readBytes(path: string | URL): Promise<Buffer> {
  try {
    checkRegular(await stat(path), String(path));
    return await readFile(path);
  } catch (error) {
    throw fileError(error, String(path));
  }
}

/** Names of other file types, for messages. */
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
  throw new InputError(`expected a regular file, found ${kind}`, { file: path });
}

/** Reads a whole file as UTF-8 text. @throws {InputError} as {@link readBytes}. */
export async function readText(path: string | URL): Promise<string> {
  return (await readBytes(path)).toString('utf8');
}

/** Converts an error of the operating system to an InputError; returns other errors unchanged. */
export function fileError(error: unknown, path: string): unknown {
  const message = SYSTEM_ERRORS[(error as NodeJS.ErrnoException)?.code ?? ''];
  return message ? new InputError(message, { file: path }, { cause: error }) : error;
}

const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EISDIR: 'is a directory',
  ENOTDIR: 'part of the path is not a directory',
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
  EBADF: 'is closed',
};

/** Fills `target` with the bytes of an open file from `start` on. @throws {InputError} as a source's `read` does. */
export function readFromDescriptor(
  descriptor: number,
  target: Uint8Array,
  start: number,
  file: string,
): void {
  for (let have = 0; have < target.length; ) {
    const bytesRead = readOnce(descriptor, target.subarray(have), start + have, file);
    if (bytesRead === 0) throw endOfFile(file, start, start + target.length);
    have += bytesRead;
  }
}

function readOnce(descriptor: number, target: Uint8Array, position: number, file: string): number {
  try {
    return readSync(descriptor, target, 0, target.length, position);
  } catch (error) {
    throw fileError(error, file);
  }
}

const endOfFile = (file: string, start: number, end: number) =>
  new InputError('unexpected end of file while reading', { file, start, end });

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

  /** Undefined in Deno, whose threads do not share descriptors. */
  get descriptor(): number | undefined {
    return 'Deno' in globalThis ? undefined : this.handle.fd;
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
      if (bytesRead === 0) throw endOfFile(this.name, start, end);
      have += bytesRead;
    }
  }

  /** @throws {InputError} when the file was modified since it was opened, or its path leads to another file. */
  async verify(): Promise<void> {
    const place = { file: this.name };
    const now = await this.handle.stat({ bigint: true });
    if (now.size !== this.opened.size)
      throw new InputError(
        `was changed while being read: expected ${this.byteLength} bytes, found ${now.size}`,
        place,
      );
    if (now.mtimeNs !== this.opened.mtimeNs) throw new InputError('was changed while being read', place);
    if (!this.followsName) return;
    const there = await stat(this.name, { bigint: true }).catch(() => undefined);
    if (there?.ino !== now.ino || there.dev !== now.dev)
      throw new InputError(`was ${there ? 'replaced' : 'removed'} while being read`, place);
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}
