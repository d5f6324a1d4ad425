import { createHash } from 'node:crypto';
import { equal } from '../codec/lossless/patterns.js';
import type { Container } from '../container/reader.js';
import { InputError, IntegrityError, isInputError } from '../errors.js';
import type { Model } from '../formats/model.js';
import { Decoding } from './decode.js';
import { openContainer } from './decompress.js';

export interface VerifyOptions {
  readonly threads?: number;
  /** Compare every element with this model's. */
  readonly against?: Model;
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

export interface Verification {
  /** No problem was found. */
  readonly good: boolean;
  /** One line each: what is wrong, and where. */
  readonly problems: readonly string[];
  readonly blocks: number;
  readonly tensors: number;
  readonly decodedBytes: number;
  /** Undefined unless compared: whether every element of every tensor equals the other model's, bit for bit. */
  readonly bitExact: boolean | undefined;
}

/**
 * Reads and decodes all of a .wpk: every frame's checksum, every block's digest, every tensor's and file's SHA-256.
 * Problems are collected, not thrown; a file that cannot even be opened is one problem.
 * @throws {InputError} when the file or the other model cannot be read at all.
 */
export async function verify(path: string, options: VerifyOptions = {}): Promise<Verification> {
  let container: Container | undefined;
  let decoding: Decoding | undefined;
  try {
    container = await openContainer(path);
    decoding = new Decoding(container, options.threads);
    return await new Check(container, decoding, options).all();
  } catch (error) {
    if (!(error instanceof IntegrityError)) throw error;
    return {
      good: false,
      problems: [error.message],
      blocks: 0,
      tensors: 0,
      decodedBytes: 0,
      bitExact: undefined,
    };
  } finally {
    await Promise.all([decoding?.close(), container?.close()]);
  }
}

class Check {
  private readonly problems: string[] = [];
  private readonly totalBytes: number;
  private doneBytes = 0;
  private blocks = 0;

  constructor(
    private readonly container: Container,
    private readonly decoding: Decoding,
    private readonly options: VerifyOptions,
  ) {
    this.totalBytes = container.directory.weightFiles.reduce((sum, { length }) => sum + length, 0);
  }

  async all(): Promise<Verification> {
    const { sideFiles, weightFiles, tensors } = this.container.directory;
    await this.collect(() => this.container.checkManifest());
    for (const file of sideFiles)
      await this.collect(async () => {
        const digest = createHash('sha256')
          .update(await this.container.readFile(file))
          .digest('hex');
        if (digest !== file.sha256)
          throw new IntegrityError(`SHA-256 of ${file.name} differs`, { file: this.container.source.name });
      });
    const differing = this.options.against ? this.compareTensorLists(this.options.against) : 0;
    let different = differing;
    let next = 0;
    for (const file of weightFiles) {
      await this.collect(async () => void (await this.decoding.header(file)));
      for (const tensor of tensors.slice(next, next + file.tensors)) {
        let same = true;
        await this.collect(() =>
          this.decoding.checkedTensor(tensor, async (elements, firstByte) => {
            this.blocks++;
            this.doneBytes += elements.length;
            this.options.onProgress?.(this.doneBytes, this.totalBytes);
            if (same && this.options.against && this.has(this.options.against, tensor.name))
              same = equal(
                elements,
                await this.options.against.readTensor(tensor.name, firstByte, firstByte + elements.length),
              );
          }),
        );
        if (!same) {
          different++;
          this.problems.push(
            new InputError('elements differ from those of the other model', { tensor: tensor.name }).message,
          );
        }
      }
      next += file.tensors;
      if ((await this.decoding.fileDigest()) !== file.sha256 && this.problems.length === 0)
        this.problems.push(`SHA-256 of ${file.name} differs`);
    }
    const good = this.problems.length === 0;
    return {
      good,
      problems: this.problems,
      blocks: this.blocks,
      tensors: tensors.length,
      decodedBytes: this.doneBytes,
      bitExact: this.options.against ? good && different === 0 : undefined,
    };
  }

  private has(model: Model, name: string): boolean {
    return model.tensors.some((tensor) => tensor.name === name);
  }

  /** Tensors that only one side has, or that differ in dtype or shape. @returns how many */
  private compareTensorLists(against: Model): number {
    const before = this.problems.length;
    const others = new Map(against.tensors.map((tensor) => [tensor.name, tensor]));
    const report = (tensor: string, what: string) =>
      this.problems.push(new InputError(what, { tensor }).message);
    for (const { name, dtype, shape } of this.container.directory.tensors) {
      const other = others.get(name);
      others.delete(name);
      if (!other) report(name, 'is not in the other model');
      else if (other.dtype !== dtype || other.shape.join() !== shape.join())
        report(name, `is ${dtype} [${shape}] here and ${other.dtype} [${other.shape}] in the other model`);
    }
    for (const name of others.keys()) report(name, 'is only in the other model');
    return this.problems.length - before;
  }

  private async collect(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      if (!isInputError(error)) throw error;
      this.problems.push(error.message);
    }
  }
}
