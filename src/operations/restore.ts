import { createHash } from 'node:crypto';
import { InputError, IntegrityError, isInputError } from '../core/errors.js';
import { isRestorable } from '../core/file-name.js';
import { Meter, type RunOptions } from '../core/progress.js';
import {
  restoredBytes,
  type StoredFile,
  type StoredTensorEntry,
  type StoredWeightFile,
  tensorsByFile,
} from '../wpk/directory.js';
import { FRAME } from '../wpk/frames.js';
import type { Decoding, Take } from '../wpk/node/decode.js';
import type { Container, ContainerOptions } from '../wpk/reader.js';

/** Where a file's bytes go, in order. */
export interface FileTarget {
  /** The bytes are only lent until it is done. */
  write(bytes: Uint8Array): Promise<void>;
  /** All bytes were written, and are those that were compressed. */
  finish(): Promise<void>;
  /** They are not: what was written is of no use. */
  discard(): Promise<void>;
}

/** Where restored files go. */
export interface Target {
  /** @param name its path in the folder. */
  file(name: string): Promise<FileTarget>;
  emptyFolder(name: string): Promise<void>;
}

export interface RestoreOptions extends ContainerOptions, RunOptions {
  /** What it is called in reports of progress. */
  readonly stage: string;
  /** Called with what is wrong, after which the rest is restored; without it the first problem ends all. */
  readonly onProblem?: ((error: InputError) => void) | undefined;
  /** Sees the elements of each tensor as they are decoded. */
  readonly watch?: ((tensor: StoredTensorEntry) => Watch) | undefined;
}

export interface Watch {
  readonly add: Take;
  readonly finish: () => void;
}

/**
 * Restores everything that is in a .wpk, each file checked against its SHA-256: the one way in which it is done, whether files are
 * written or only looked at.
 */
export class Restoring {
  /** Blocks of tensors that were decoded. */
  blocks = 0;
  doneBytes = 0;
  private readonly meter: Meter;

  constructor(
    private readonly container: Container,
    private readonly decoding: Decoding,
    private readonly target: Target,
    private readonly options: RestoreOptions,
  ) {
    this.meter = new Meter(options, options.stage, restoredBytes(container.directory));
  }

  /** @throws {InputError} for what is wrong, unless `onProblem` is called with it. */
  async all(): Promise<void> {
    const { directory } = this.container;
    this.container.checkExpansion(this.options);
    await this.step(() => this.container.checkManifest());
    for (const name of directory.emptyFolders)
      await this.step(() => this.target.emptyFolder(checkName(name)));
    for (const file of directory.sideFiles) await this.step(() => this.sideFile(file));
    for (const { file, tensors } of tensorsByFile(directory))
      await this.step(() => this.weightFile(file, tensors));
  }

  private async sideFile(file: StoredFile): Promise<void> {
    const hash = createHash('sha256');
    await this.into(file, async (write) => {
      for await (const piece of this.container.readPieces(file, FRAME.sideFile, file.length)) {
        hash.update(piece);
        await write(piece);
      }
      return hash.digest('hex');
    });
  }

  private async weightFile(file: StoredWeightFile, tensors: readonly StoredTensorEntry[]): Promise<void> {
    await this.into(file, async (write) => {
      const between = await this.container.header(file);
      let damaged = false;
      const decode = async (tensor: StoredTensorEntry) => {
        let sound = false;
        await this.step(async () => {
          await this.tensor(tensor, write);
          sound = true;
        });
        damaged ||= !sound;
      };
      const digest = await this.decoding.weightFile(between, tensors, decode, write);
      return damaged ? undefined : digest;
    });
  }

  private async tensor(
    tensor: StoredTensorEntry,
    write: (bytes: Uint8Array) => Promise<void>,
  ): Promise<void> {
    const watch = this.options.watch?.(tensor);
    await this.decoding.checkedTensor(tensor, async (elements, firstByte) => {
      this.blocks++;
      await watch?.add(elements, firstByte);
      await write(elements);
    });
    watch?.finish();
  }

  /** Makes a file of what `work` writes. @param work returns its SHA-256; undefined where a problem was told already. */
  private async into(
    { name, sha256 }: StoredFile,
    work: (write: (bytes: Uint8Array) => Promise<void>) => Promise<string | undefined>,
  ): Promise<void> {
    const target = await this.target.file(checkName(name));
    try {
      const digest = await work(async (bytes) => {
        await target.write(bytes);
        this.doneBytes += bytes.length;
        this.meter.reach(this.doneBytes);
      });
      if (digest === sha256) return await target.finish();
      await target.discard();
      if (digest !== undefined)
        throw new IntegrityError(`SHA-256 of ${name} is ${digest}, expected ${sha256}`, {
          file: this.container.source.name,
        });
    } catch (error) {
      await target.discard();
      throw error;
    }
  }

  private async step(work: () => Promise<void>): Promise<void> {
    const { onProblem } = this.options;
    try {
      await work();
    } catch (error) {
      if (!onProblem || !isInputError(error)) throw error;
      onProblem(error);
    }
  }
}

/** @throws {InputError} for a name that this system cannot have. */
function checkName(name: string): string {
  if (isRestorable(name, process.platform)) return name;
  throw new InputError(`the file name ${JSON.stringify(name)} is not possible on Windows`);
}
