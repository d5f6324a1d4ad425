import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { InputError } from '../errors.js';
import { fileError } from '../io/file.js';

/** Where a file is made before it gets its name. */
export const partialName = (path: string) => `${path}.partial`;

/**
 * A file that appears under its name only when whole. Until then it is `NAME.partial`, which stays when the process
 * is killed and is removed when the work fails.
 */
export class Output {
  private written: number;

  private constructor(
    readonly path: string,
    private readonly handle: FileHandle,
    start: number,
  ) {
    this.written = start;
  }

  /**
   * Begins anew, or, with `keep`, behind the first `keep` bytes of what an earlier run left.
   * @throws {InputError} when the place cannot be written to.
   */
  static async create(path: string, keep = 0): Promise<Output> {
    try {
      const handle = await open(partialName(path), keep ? 'r+' : 'w');
      await handle.truncate(keep);
      return new Output(path, handle, keep);
    } catch (error) {
      throw fileError(error, path);
    }
  }

  get length(): number {
    return this.written;
  }

  /** Appends; the bytes must stay unchanged until it resolves. One call at a time. */
  async write(bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.handle.write(bytes, done, bytes.length - done, this.written);
        done += bytesWritten;
        this.written += bytesWritten;
      }
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  /** Ends the writing; the file keeps its partial name. */
  async close(): Promise<void> {
    try {
      await this.handle.close();
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  /** Gives the file its name. */
  async finish(): Promise<void> {
    try {
      await this.handle.close();
      await rename(partialName(this.path), this.path);
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  /** Leaves nothing behind. */
  async discard(): Promise<void> {
    await this.handle.close().catch(() => {});
    await rm(partialName(this.path), { force: true });
  }
}

/**
 * @throws {InputError} when `path` is one of the input's files, is a folder, or exists and may not be replaced.
 */
export async function checkOutput(path: string, inputs: readonly string[], force: boolean): Promise<void> {
  const there = await stat(path).catch(() => undefined);
  if (!there) return;
  for (const input of inputs) {
    const other = await stat(input).catch(() => undefined);
    if (other && other.dev === there.dev && other.ino === there.ino)
      throw new InputError('the output is the input; nothing was written', { file: path });
  }
  if (there.isDirectory())
    throw new InputError('the output is a folder, expected the name of a file', { file: path });
  if (!force) throw new InputError('already exists; --force replaces it', { file: path });
}

/** Writes a small file that appears only when whole. @throws {InputError} as {@link checkOutput}, and when it cannot be written. */
export async function writeWhole(path: string, content: string | Uint8Array, force: boolean): Promise<void> {
  await checkOutput(path, [], force);
  const output = await Output.create(path);
  try {
    await output.write(typeof content === 'string' ? new TextEncoder().encode(content) : content);
    await output.finish();
  } catch (error) {
    await output.discard();
    throw error;
  }
}
