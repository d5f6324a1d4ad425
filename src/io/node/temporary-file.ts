import type { FileHandle } from 'node:fs/promises';
import { InputError } from '../../core/errors.js';
import { disk, writeAll } from './disk.js';
import { fileError } from './file.js';
import { hold, letGo, temporaryName } from './temporary.js';

/** A file for what does not fit into memory, written and read at any place, removed at the end. */
export class TemporaryFile {
  private constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
  ) {}

  /** Creates one beside a path, under a name of this run's. @throws {InputError} when the place cannot be written to. */
  static async create(beside: string, ending: string): Promise<TemporaryFile> {
    const path = temporaryName(beside, ending);
    hold(path);
    try {
      return new TemporaryFile(path, await disk.create(path));
    } catch (error) {
      letGo(path);
      throw fileError(error, path);
    }
  }

  /** Writes all of an array's memory. @throws {InputError} as the disk does. */
  async write({ buffer, byteOffset, byteLength }: ArrayBufferView, start: number): Promise<void> {
    try {
      await writeAll(this.handle, new Uint8Array(buffer, byteOffset, byteLength), start);
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  /** Reads bytes that were written. @throws {InputError} as the disk does. */
  async read(start: number, byteLength: number): Promise<ArrayBuffer> {
    const bytes = new Uint8Array(byteLength);
    try {
      for (let done = 0; done < byteLength; ) {
        const { bytesRead } = await this.handle.read(bytes, done, byteLength - done, start + done);
        if (!bytesRead) throw new InputError('became shorter while it was used', { file: this.path });
        done += bytesRead;
      }
    } catch (error) {
      throw fileError(error, this.path);
    }
    return bytes.buffer;
  }

  async close(): Promise<void> {
    await this.handle.close();
    await disk.unlink(this.path).catch(() => {}); // it may be gone already, and holds nothing that is missed
    letGo(this.path);
  }
}
