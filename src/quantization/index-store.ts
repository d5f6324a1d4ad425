import type { FileHandle } from 'node:fs/promises';
import { InputError } from '../core/errors.js';
import { disk, writeAll } from '../io/node/disk.js';
import { fileError } from '../io/node/file.js';
import { hold, letGo, temporaryName } from '../io/node/temporary.js';

/** Holds the indices of quantized matrices in a temporary file: those of a large model do not fit into memory. */
export class IndexStore {
  private end = 0;

  private constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
  ) {}

  /** Creates the file beside an output, under a name of this run's. @throws {InputError} when the place cannot be written to. */
  static async create(output: string): Promise<IndexStore> {
    const path = temporaryName(output, 'scratch');
    hold(path);
    try {
      return new IndexStore(path, await disk.create(path));
    } catch (error) {
      letGo(path);
      throw fileError(error, path);
    }
  }

  /** Forgets all indices, so that the next ones take their place. */
  clear(): void {
    this.end = 0;
  }

  /** Appends indices. @returns what reads them again. */
  async add(values: Int16Array): Promise<() => Promise<Int16Array>> {
    const start = this.end;
    const { byteLength } = values; // what is returned must not keep the values alive
    this.end += byteLength;
    try {
      await writeAll(this.handle, new Uint8Array(values.buffer, values.byteOffset, byteLength), start);
    } catch (error) {
      throw fileError(error, this.path);
    }
    return () => this.read(start, byteLength);
  }

  async close(): Promise<void> {
    await this.handle.close();
    await disk.unlink(this.path).catch(() => {}); // it may be gone already, and holds nothing that is missed
    letGo(this.path);
  }

  private async read(start: number, byteLength: number): Promise<Int16Array> {
    const bytes = new Uint8Array(byteLength);
    try {
      for (let have = 0; have < byteLength; ) {
        const { bytesRead } = await this.handle.read(bytes, have, byteLength - have, start + have);
        if (!bytesRead) throw new InputError('became shorter while it was used', { file: this.path });
        have += bytesRead;
      }
    } catch (error) {
      throw fileError(error, this.path);
    }
    return new Int16Array(bytes.buffer);
  }
}
