import { createHash } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StoredFile, StoredTensorEntry, StoredWeightFile } from '../container/directory.js';
import { Container } from '../container/reader.js';
import { InputError, IntegrityError } from '../errors.js';
import { DTYPE_BYTES, elementCount } from '../formats/dtype.js';
import type { HubOptions } from '../formats/hub/folder.js';
import { fileError } from '../io/file.js';
import { openAnyFile } from '../models.js';
import { Decoding } from './decode.js';
import { Output } from './output.js';

export interface DecompressOptions {
  readonly threads?: number;
  /** Replace an existing folder. */
  readonly force?: boolean;
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/**
 * Restores the model's folder: weight files and side files, byte for byte, each checked against its SHA-256.
 * The folder appears under its name only when it is whole.
 * @throws {InputError} on a file that is not sound, or a folder that cannot be made.
 */
export async function decompress(
  path: string,
  folder: string,
  options: DecompressOptions = {},
): Promise<void> {
  const container = await openContainer(path, { reading: 'sequential' });
  const decoding = new Decoding(container, options.threads);
  const making = `${folder.replace(/[\\/]+$/, '')}.partial`;
  try {
    await checkFolder(folder, path, options.force ?? false);
    await rm(making, { recursive: true, force: true });
    await mkdir(making, { recursive: true });
    await new Restoring(container, making, decoding, options).all();
    if (options.force) await rm(folder, { recursive: true, force: true });
    await rename(making, folder);
  } catch (error) {
    await rm(making, { recursive: true, force: true });
    throw fileError(error, folder);
  } finally {
    await Promise.all([decoding.close(), container.close()]);
  }
}

/** Opens a .wpk by anything that {@link openAnyFile} takes. @throws {InputError} */
export async function openContainer(name: string, options?: HubOptions): Promise<Container> {
  const source = await openAnyFile(name, options);
  try {
    return await Container.open(source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function checkFolder(folder: string, input: string, force: boolean): Promise<void> {
  const there = await stat(folder).catch(() => undefined);
  if (!there) return;
  if (!there.isDirectory())
    throw new InputError('the output is a file, expected the name of a folder', { file: folder });
  const file = await stat(input).catch(() => undefined); // undefined of what is read from afar
  if (file && (await insideOf(folder, file.dev, file.ino)))
    throw new InputError(`holds the input ${input}; nothing was written`, { file: folder });
  if (!force && (await readdir(folder)).length)
    throw new InputError('already exists and is not empty; --force replaces it', { file: folder });
  if (!force) await rm(folder, { recursive: true });
}

async function insideOf(folder: string, dev: number, ino: number): Promise<boolean> {
  for (const name of await readdir(folder)) {
    const there = await stat(join(folder, name)).catch(() => undefined);
    if (there?.dev === dev && there.ino === ino) return true;
  }
  return false;
}

class Restoring {
  private readonly totalBytes: number;
  private doneBytes = 0;

  constructor(
    private readonly container: Container,
    private readonly folder: string,
    private readonly decoding: Decoding,
    private readonly options: DecompressOptions,
  ) {
    this.totalBytes = container.directory.weightFiles.reduce((sum, { length }) => sum + length, 0);
  }

  async all(): Promise<void> {
    const { sideFiles, weightFiles, tensors } = this.container.directory;
    for (const file of sideFiles) {
      const bytes = await this.container.readFile(file);
      this.check(file, createHash('sha256').update(bytes).digest('hex'));
      await writeFile(join(this.folder, file.name), bytes);
    }
    let next = 0;
    for (const file of weightFiles) {
      await this.weightFile(file, tensors.slice(next, next + file.tensors));
      next += file.tensors;
    }
  }

  private async weightFile(file: StoredWeightFile, tensors: readonly StoredTensorEntry[]): Promise<void> {
    const header = await this.decoding.header(file);
    const declared = tensors.reduce(
      (sum, { dtype, shape }) => sum + elementCount(shape) * DTYPE_BYTES[dtype],
      header.length,
    );
    if (declared !== file.length)
      throw new IntegrityError(`its parts have ${declared} bytes, expected ${file.length}`, {
        file: file.name,
      });
    const out = await Output.create(join(this.folder, file.name));
    const write = async (bytes: Uint8Array) => {
      await out.write(bytes);
      this.doneBytes += bytes.length;
      this.options.onProgress?.(this.doneBytes, this.totalBytes);
    };
    try {
      await write(header);
      for (const tensor of tensors) await this.decoding.checkedTensor(tensor, write);
      this.check(file, await this.decoding.fileDigest());
      await out.finish();
    } catch (error) {
      await out.discard();
      throw error;
    }
  }

  private check({ name, sha256 }: StoredFile, digest: string): void {
    if (digest !== sha256)
      throw new IntegrityError(`SHA-256 of ${name} is ${digest}, expected ${sha256}`, {
        file: this.container.source.name,
      });
  }
}
