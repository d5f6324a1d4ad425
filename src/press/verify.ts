import { createHash } from 'node:crypto';
import { isLossyCodec } from '../container/codecs.js';
import { isLossyTensor, type StoredTensorEntry } from '../container/directory.js';
import type { Container } from '../container/reader.js';
import { InputError, IntegrityError, isInputError } from '../errors.js';
import type { Model } from '../formats/model.js';
import { Comparison, type WeightError } from './compare.js';
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
  /** For a lossy file that was compared: how much its weights differ. */
  readonly error: WeightError | undefined;
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
    container = await openContainer(path, { reading: 'sequential' });
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
      error: undefined,
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
  /** A lossy file is expected to differ from its original: how much is measured. */
  private readonly lossy: boolean;

  constructor(
    private readonly container: Container,
    private readonly decoding: Decoding,
    private readonly options: VerifyOptions,
  ) {
    this.totalBytes = container.directory.weightFiles.reduce((sum, { length }) => sum + length, 0);
    this.lossy = container.directory.tensors.some(({ codec }) => isLossyCodec(codec));
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
    const { against } = this.options;
    const asStored = weightFiles.some(({ between }) => between) ? await against?.asStored?.() : undefined;
    const comparison = against && new Comparison(asStored ?? against);
    this.problems.push(...(comparison?.listProblems(tensors) ?? []));
    let next = 0;
    for (const file of weightFiles) {
      let between: Uint8Array[] = Array.from({ length: file.tensors + 1 }, () => new Uint8Array(0));
      await this.collect(async () => {
        between = await this.container.header(file);
      });
      const own = tensors.slice(next, next + file.tensors);
      const digest = await this.decoding.weightFile(between, own, (tensor) =>
        this.tensor(tensor, comparison),
      );
      next += file.tensors;
      if (digest !== file.sha256 && this.problems.length === 0)
        this.problems.push(`SHA-256 of ${file.name} differs`);
    }
    const error = comparison?.weightError();
    const good = this.problems.length === 0;
    return {
      good,
      problems: this.problems,
      blocks: this.blocks,
      tensors: tensors.length,
      decodedBytes: this.doneBytes,
      bitExact: error && good && error.differing === 0,
      error: this.lossy ? error : undefined,
    };
  }

  private async tensor(tensor: StoredTensorEntry, comparison: Comparison | undefined): Promise<void> {
    const compared = comparison?.tensor(tensor);
    await this.collect(() =>
      this.decoding.checkedTensor(tensor, async (elements, firstByte) => {
        this.blocks++;
        this.doneBytes += elements.length;
        this.options.onProgress?.(this.doneBytes, this.totalBytes);
        await compared?.add(elements, firstByte, isLossyTensor(tensor));
      }),
    );
    if (compared?.finish() === false && !this.lossy)
      this.problems.push(
        new InputError('elements differ from those of the other model', { tensor: tensor.name }).message,
      );
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
