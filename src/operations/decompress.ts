import { type FileHandle, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type ByteSource, withSignal } from '../core/byte-source.js';
import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import type { RunOptions } from '../core/progress.js';
import type { HubOptions } from '../hub/folder.js';
import { Appender, disk, makeFolders } from '../io/node/disk.js';
import { fileError } from '../io/node/file.js';
import { kindOf, PREFIX_BYTES } from '../open/formats.js';
import { findBaseOf, type OpenModelOptions, openAnyFile } from '../open/open.js';
import type { FindBase } from '../wpk/base.js';
import { isWpk } from '../wpk/frames.js';
import { Decoding } from '../wpk/node/decode.js';
import { Container, type ContainerOptions } from '../wpk/reader.js';
import { makeFolder } from './folder.js';
import { type FileTarget, Restoring, type Target } from './restore.js';

/** How {@link decompress} runs. */
export interface DecompressOptions extends ContainerOptions, RunOptions {
  /** The base of a file that has one, as in {@link OpenModelOptions}. */
  readonly base?: string | Model | undefined;
  /** Number of worker threads; 0: none; default: the machine's parallelism. The result is the same with any number. */
  readonly threads?: number | undefined;
  /** Replaces an existing folder. */
  readonly force?: boolean | undefined;
}

/**
 * Restores a folder from a .wpk: all files in it, byte for byte, each checked against its SHA-256.
 * The folder gets its name only when it is complete.
 * @param path a .wpk file: on disk, at an address, or on the Hub. @param folder the folder to make.
 * @throws {InputError} for a folder that cannot be made. @throws {IntegrityError} for a file that is damaged.
 * @throws the signal's reason once it is aborted.
 */
export async function decompress(
  path: string,
  folder: string,
  options: DecompressOptions = {},
): Promise<void> {
  await withRestoring(path, options, (restoreTo) =>
    makeFolder(folder, path, options.force ?? false, async (making) => {
      await restoreTo(new FolderTarget(making));
      options.signal?.throwIfAborted();
    }),
  );
}

/** Opens a .wpk whose files `work` restores to a target, and closes it afterwards. @throws {InputError} @throws {IntegrityError} */
export async function withRestoring(
  path: string,
  options: DecompressOptions,
  work: (restoreTo: (target: Target) => Promise<void>) => Promise<void>,
): Promise<void> {
  const { base, signal } = options;
  const container = await openContainer(path, { reading: 'sequential', base, signal });
  const decoding = new Decoding(container, options.threads);
  const restoring = { ...options, stage: 'decompressing' };
  try {
    await work((target) => new Restoring(container, decoding, target, restoring).all());
  } finally {
    await decoding.close(); // its threads read the file
    await container.close();
  }
}

/** How a .wpk is read. */
export interface ContainerSource extends HubOptions, Pick<OpenModelOptions, 'base'> {}

/** Opens a .wpk by any name that {@link openAnyFile} accepts. @throws {InputError} for other files, naming their kind and the command for it. */
export async function openContainer(name: string, options: ContainerSource = {}): Promise<Container> {
  return containerIn(await openFileNamed(name, options), findBaseOf(options.base, options));
}

/** Opens one file by any name that {@link openAnyFile} accepts. @throws {InputError} for a folder. */
export async function openFileNamed(name: string, options: HubOptions = {}): Promise<ByteSource> {
  options.signal?.throwIfAborted();
  if (await isFolder(name)) throw notWpk(name, 'a folder');
  return withSignal(await openAnyFile(name, options), options.signal);
}

/** Opens the .wpk in a source, which it owns. @throws {InputError} for other files, naming their kind and the command for it; the source is then closed. */
export async function containerIn(source: ByteSource, findBase?: FindBase): Promise<Container> {
  try {
    const prefix = await source.read(0, Math.min(PREFIX_BYTES, source.byteLength));
    const kind = isWpk(prefix) ? undefined : kindOf(prefix);
    if (kind !== undefined) throw notWpk(source.name, kind);
    return await Container.open(source, undefined, findBase);
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
    `is ${kind}, not a .wpk file; weightpress analyze shows its content, weightpress compress makes a .wpk of it`,
    { file },
  );
}

/** Writes files into a new folder; never overwrites a file. */
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

/** A file of an incomplete folder; after an error it is removed with the folder. */
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
      await this.appender.sync();
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
    await this.appender.settle().catch(() => {}); // of no more use, or reported by `finish`
    await this.handle.close();
  }
}
