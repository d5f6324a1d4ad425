import { type FileHandle, open, rm } from 'node:fs/promises';
import { fileError } from '../../io/file.js';

/** A file for what does not fit into memory, removed at the end. */
export class Scratch {
  private end = 0;

  private constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
  ) {}

  /** @throws {InputError} when the place cannot be written to. */
  static async create(path: string): Promise<Scratch> {
    try {
      return new Scratch(path, await open(path, 'w+'));
    } catch (error) {
      throw fileError(error, path);
    }
  }

  /** Forgets what was written. */
  clear(): void {
    this.end = 0;
  }

  /** Appends numbers. @returns what reads them again. */
  async add(values: Int16Array): Promise<() => Promise<Int16Array>> {
    const start = this.end;
    const { byteLength } = values; // what is returned must not keep the values alive
    this.end += byteLength;
    try {
      await this.handle.write(
        new Uint8Array(values.buffer, values.byteOffset, byteLength),
        0,
        byteLength,
        start,
      );
    } catch (error) {
      throw fileError(error, this.path);
    }
    return async () => {
      const bytes = new Uint8Array(byteLength);
      await this.handle.read(bytes, 0, bytes.length, start);
      return new Int16Array(bytes.buffer);
    };
  }

  async close(): Promise<void> {
    await this.handle.close();
    await rm(this.path, { force: true });
  }
}
