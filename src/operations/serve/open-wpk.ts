import { lstat } from 'node:fs/promises';
import { InputError } from '../../core/errors.js';
import { fileError, openFile } from '../../io/node/file.js';
import { findBaseOf } from '../../open/open.js';
import type { StoredFile, StoredTensorEntry, StoredWeightFile } from '../../wpk/directory.js';
import { type FilePart, partsOf } from '../../wpk/original.js';
import { type PlannedBlock, planTensor } from '../../wpk/plan.js';
import { Container } from '../../wpk/reader.js';

/** A .wpk file as it was found: another file, or a changed one, at this path has another key. */
export interface Found {
  readonly path: string;
  readonly key: string;
  readonly modified: Date;
}

/** Returns what is at a path now. @throws {InputError} when nothing is there. */
export async function findWpk(path: string): Promise<Found> {
  try {
    const { dev, ino, size, mtimeNs, mtime } = await lstat(path, { bigint: true });
    return { path, key: `${path}:${dev}:${ino}:${size}:${mtimeNs}`, modified: mtime };
  } catch (error) {
    throw fileError(error, path);
  }
}

/** An open .wpk file, with the plans of its files and tensors, which are made when they are first needed. */
export class OpenWpk {
  private readonly parts = new Map<StoredWeightFile, Promise<readonly FilePart[]>>();
  private readonly plans = new Map<StoredTensorEntry, readonly PlannedBlock[]>();

  private constructor(
    /** Tells its blocks from those of other files. */
    readonly key: string,
    readonly container: Container,
  ) {}

  /** Opens a file that was found. @throws {InputError} when it has changed since, and like {@link Container.open}. */
  static async open({ path, key }: Found): Promise<OpenWpk> {
    const source = await openFile(path);
    try {
      if ((await findWpk(path)).key !== key) throw new InputError('was changed', { file: path });
      await source.verify?.();
      return new OpenWpk(key, await Container.open(source, undefined, findBaseOf(undefined)));
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  /** Returns a file by its name; undefined if there is none. */
  file(name: string): StoredFile | undefined {
    const { weightFiles, sideFiles } = this.container.directory;
    const isNamed = (file: StoredFile) => file.name === name;
    return weightFiles.find(isNamed) ?? sideFiles.find(isNamed);
  }

  /** Returns the parts of a weight file; undefined for a side file. @throws {IntegrityError} when its header is damaged. */
  partsOf(file: StoredFile): Promise<readonly FilePart[]> | undefined {
    const weights = this.container.directory.weightFiles.find((each) => each === file);
    if (!weights) return;
    const known = this.parts.get(weights);
    if (known) return known;
    const found = partsOf(this.container, weights);
    this.parts.set(weights, found);
    found.catch(() => this.parts.delete(weights)); // the disk may work again
    return found;
  }

  /** Returns the blocks of a tensor. */
  blocksOf(tensor: StoredTensorEntry): readonly PlannedBlock[] {
    const found = this.plans.get(tensor) ?? planTensor(tensor);
    this.plans.set(tensor, found);
    return found;
  }

  close(): Promise<void> {
    return this.container.close();
  }
}
