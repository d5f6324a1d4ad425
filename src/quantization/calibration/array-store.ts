import type { FileHandle } from 'node:fs/promises';
import { InputError } from '../../core/errors.js';
import { disk, writeAll } from '../../io/node/disk.js';
import { fileError } from '../../io/node/file.js';
import { hold, letGo, temporaryName } from '../../io/node/temporary.js';

/** An array that waits to be read. */
export interface StoredArray {
  read(): Promise<Float32Array>;
  /** Gives its place to arrays that come later. */
  release(): void;
}

/** Holds arrays, in memory or outside of it. */
export interface ArrayStore {
  /** The array must stay unchanged. */
  add(values: Float32Array): Promise<StoredArray>;
}

/** In memory alone. */
export const memoryStore: ArrayStore = {
  add: async (values) => {
    let held: Float32Array | undefined = values;
    return {
      read: async () => held!,
      release: () => {
        held = undefined;
      },
    };
  },
};

/** In memory up to a limit, then in a file, which is removed at the end. Places that were released are used again. */
export class SpillStore implements ArrayStore {
  private readonly path: string;
  private opening: Promise<FileHandle> | undefined;
  private end = 0;
  private readonly free = new Map<number, number[]>();

  /** @param beside where a file of this run's own is made, but only when memory does not suffice. */
  constructor(
    beside: string,
    private memoryBytes: number,
  ) {
    this.path = temporaryName(beside, 'states');
  }

  async add(values: Float32Array): Promise<StoredArray> {
    const { byteLength } = values;
    if (byteLength > this.memoryBytes) return this.spill(values);
    this.memoryBytes -= byteLength;
    const stored = await memoryStore.add(values);
    return {
      read: stored.read,
      release: () => {
        stored.release();
        this.memoryBytes += byteLength;
      },
    };
  }

  async close(): Promise<void> {
    const handle = await this.opening?.catch(() => undefined);
    await handle?.close();
    if (handle) await disk.unlink(this.path).catch(() => {}); // it may be gone already
    this.opening = undefined;
    letGo(this.path);
  }

  private async spill(values: Float32Array): Promise<StoredArray> {
    const { byteLength } = values;
    const bytes = new Uint8Array(values.buffer, values.byteOffset, byteLength);
    const start = this.free.get(byteLength)?.pop() ?? this.end;
    if (start === this.end) this.end += byteLength;
    await this.use((handle) => writeAll(handle, bytes, start));
    return {
      read: () => this.use((handle) => readFloatsAt(handle, start, byteLength)),
      release: () => {
        this.free.set(byteLength, [...(this.free.get(byteLength) ?? []), start]);
      },
    };
  }

  private async use<T>(work: (handle: FileHandle) => Promise<T>): Promise<T> {
    try {
      return await work(await this.opened());
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  /** One file, however many ask for it at once. */
  private opened(): Promise<FileHandle> {
    hold(this.path);
    this.opening ??= disk.create(this.path);
    return this.opening;
  }
}

async function readFloatsAt(handle: FileHandle, start: number, byteLength: number): Promise<Float32Array> {
  const bytes = new Uint8Array(byteLength);
  for (let done = 0; done < byteLength; ) {
    const { bytesRead } = await handle.read(bytes, done, byteLength - done, start + done);
    if (!bytesRead) throw new InputError('a temporary file became shorter');
    done += bytesRead;
  }
  return new Float32Array(bytes.buffer);
}
