import { type FileHandle, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { InputError } from '../core/errors.js';
import type { HubOptions } from '../hub/folder.js';
import { Appender, disk, makeFolders } from '../io/node/disk.js';
import { fileError } from '../io/node/file.js';
import { kindOf, PREFIX_BYTES } from '../open/formats.js';
import { openAnyFile } from '../open/open.js';
import { isWpk } from '../wpk/frames.js';
import { Decoding } from '../wpk/node/decode.js';
import { Container, type ContainerOptions } from '../wpk/reader.js';
import { makeFolder } from './folder.js';
import { type FileTarget, Restoring, type Target } from './restore.js';

export interface DecompressOptions extends ContainerOptions {
  readonly threads?: number;
  /** Replace an existing folder. */
  readonly force?: boolean;
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/**
 * Restores a folder from a .wpk: all files in it, byte for byte, each checked against its SHA-256.
 * The folder appears under its name only when it is whole.
 * @throws {InputError} on a file that is not sound, and a folder that cannot be made.
 */
export async function decompress(
  path: string,
  folder: string,
  options: DecompressOptions = {},
): Promise<void> {
  const container = await openContainer(path, { reading: 'sequential' });
  const decoding = new Decoding(container, options.threads);
  const { maxExpansion, onProgress } = options;
  try {
    await makeFolder(folder, path, options.force ?? false, (making) =>
      new Restoring(container, decoding, new FolderTarget(making), { maxExpansion, onProgress }).all(),
    );
  } finally {
    await Promise.all([decoding.close(), container.close()]);
  }
}

/** Opens a .wpk by anything that {@link openAnyFile} takes. @throws {InputError} saying of another what it is, and what is meant for it. */
export async function openContainer(name: string, options?: HubOptions): Promise<Container> {
  if (await isFolder(name)) throw notWpk(name, 'a folder');
  const source = await openAnyFile(name, options);
  try {
    const prefix = await source.read(0, Math.min(PREFIX_BYTES, source.byteLength));
    const kind = isWpk(prefix) ? undefined : kindOf(prefix);
    if (kind !== undefined) throw notWpk(source.name, kind);
    return await Container.open(source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

const isFolder = (path: string) =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

function notWpk(file: string, kind: string): InputError {
  return new InputError(
    `is ${kind}, not a .wpk file; weightpress analyze says what it holds, weightpress compress makes a .wpk of it`,
    { file },
  );
}

/** Writes files into a new folder, never over one that is there. */
class FolderTarget implements Target {
  constructor(private readonly folder: string) {}

  async file(name: string): Promise<FileTarget> {
    const path = join(this.folder, name);
    try {
      await makeFolders(dirname(path));
      return new NewFile(path, await disk.create(path));
    } catch (error) {
      throw fileError(error, path);
    }
  }

  async emptyFolder(name: string): Promise<void> {
    await makeFolders(join(this.folder, name));
  }
}

/** A file of a folder in the making: what fails is removed with the folder. */
class NewFile implements FileTarget {
  private readonly appender: Appender;
  private isOpen = true;

  constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
  ) {
    this.appender = new Appender(handle, 0);
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      await this.appender.write(bytes);
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  async finish(): Promise<void> {
    try {
      await this.appender.flush();
      await disk.sync(this.handle);
      await this.close();
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  async discard(): Promise<void> {
    await this.close().catch(() => {});
  }

  private async close(): Promise<void> {
    if (!this.isOpen) return;
    this.isOpen = false;
    await this.handle.close();
  }
}
