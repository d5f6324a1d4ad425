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

/** Receives a file's bytes, in order. */
export interface FileTarget {
  /** Writes bytes, which are valid only until it resolves. */
  write(bytes: Uint8Array): Promise<void>;
  /** Called when all bytes are written and their SHA-256 is correct. */
  finish(): Promise<void>;
  /** Called after an error: the written bytes are invalid. */
  discard(): Promise<void>;
}

/** Receives restored files. */
export interface Target {
  /** @param name its path in the folder. */
  file(name: string): Promise<FileTarget>;
  emptyFolder(name: string): Promise<void>;
}

export interface RestoreOptions extends ContainerOptions, RunOptions {
  /** Name of the stage in progress reports. */
  readonly stage: string;
  /** Called with each problem; the rest is then still restored. Without it the first problem is thrown. */
  readonly onProblem?: ((error: InputError) => void) | undefined;
  /**
   * Whether the SHA-256 of each tensor is checked too. The SHA-256 of a whole file covers the tensors in it; without this they are only
   * checked when it differs, to find out which one is wrong.
   */
  readonly everyDigest?: boolean | undefined;
  /** Returns a function that receives the decoded elements of a tensor. */
  readonly watch?: ((tensor: StoredTensorEntry) => Watch) | undefined;
}

export interface Watch {
  readonly add: Take;
  readonly finish: () => void;
}

/**
 * Restores all files of a .wpk and checks each against its SHA-256. Used both to write files and to verify them.
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

  /** Restores all files. @throws {InputError} for the first problem, unless there is an `onProblem`. */
  async all(): Promise<void> {
    const { directory } = this.container;
    this.container.checkExpansion(this.options);
    if (directory.base) await this.container.base.open(); // it is missed before anything is written
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
      if (damaged) return undefined;
      if (digest !== file.sha256 && !this.options.everyDigest)
        for (const tensor of tensors) await this.decoding.checkedTensor(tensor, () => {});
      return digest;
    });
  }

  private async tensor(
    tensor: StoredTensorEntry,
    write: (bytes: Uint8Array) => Promise<void>,
  ): Promise<void> {
    const watch = this.options.watch?.(tensor);
    const take: Take = async (elements, firstByte) => {
      this.blocks++;
      await watch?.add(elements, firstByte);
      await write(elements);
    };
    const { decoding } = this;
    await (this.options.everyDigest ? decoding.checkedTensor(tensor, take) : decoding.elements(tensor, take));
    watch?.finish();
  }

  /** Restores a file. @param work writes it and returns its SHA-256; undefined if a problem was already reported. */
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
      if (!onProblem || !isInputError(error) || error.code === 'needs-base') throw error;
      onProblem(error);
    }
  }
}

/** Checks a file name. @throws {InputError} for a name that is not allowed on this system. */
function checkName(name: string): string {
  if (isRestorable(name, process.platform)) return name;
  throw new InputError(`the file name ${JSON.stringify(name)} is not allowed on Windows`);
}
