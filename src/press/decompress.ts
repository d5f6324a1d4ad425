import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { StoredFile, StoredTensorEntry, StoredWeightFile } from '../container/directory.js';
import { Container } from '../container/reader.js';
import { IntegrityError } from '../errors.js';
import { DTYPE_BYTES, elementCount } from '../formats/dtype.js';
import type { HubOptions } from '../formats/hub/folder.js';
import { openAnyFile } from '../models.js';
import { Decoding } from './decode.js';
import { makeFolder } from './folder.js';
import { Output, writeWhole } from './output.js';

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
  try {
    await makeFolder(folder, path, options.force ?? false, (making) =>
      new Restoring(container, making, decoding, options).all(),
    );
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
      await writeWhole(join(this.folder, file.name), bytes, false);
    }
    let next = 0;
    for (const file of weightFiles) {
      await this.weightFile(file, tensors.slice(next, next + file.tensors));
      next += file.tensors;
    }
  }

  private async weightFile(file: StoredWeightFile, tensors: readonly StoredTensorEntry[]): Promise<void> {
    const between = await this.container.header(file);
    const declared = tensors.reduce(
      (sum, { dtype, shape }) => sum + elementCount(shape) * DTYPE_BYTES[dtype],
      between.reduce((sum, { length }) => sum + length, 0),
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
      const decode = (tensor: StoredTensorEntry) => this.decoding.checkedTensor(tensor, write);
      this.check(file, await this.decoding.weightFile(between, tensors, decode, write));
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
