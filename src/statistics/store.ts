import { type FileHandle, open, rm } from 'node:fs/promises';
import { fileError } from '../io/file.js';

/** An array that waits to be read. */
export interface Kept {
  read(): Promise<Float32Array>;
  /** Gives its place to arrays that come later. */
  release(): void;
}

/** Keeps arrays, in memory or outside of it. */
export interface ArrayStore {
  /** The array must stay unchanged. */
  add(values: Float32Array): Promise<Kept>;
}

/** In memory alone. */
export const memoryStore: ArrayStore = {
  add: async (values) => {
    let kept: Float32Array | undefined = values;
    return {
      read: async () => kept!,
      release: () => {
        kept = undefined;
      },
    };
  },
};

/** In memory up to a limit, then in a file, which is removed at the end. Places that were released are used again. */
export class SpillStore implements ArrayStore {
  private handle: FileHandle | undefined;
  private end = 0;
  private readonly free = new Map<number, number[]>();

  /** @param path made only when memory does not suffice. */
  constructor(
    private readonly path: string,
    private memoryBytes: number,
  ) {}

  async add(values: Float32Array): Promise<Kept> {
    const { byteLength } = values;
    if (byteLength > this.memoryBytes) return this.spill(values);
    this.memoryBytes -= byteLength;
    const kept = await memoryStore.add(values);
    return {
      read: kept.read,
      release: () => {
        kept.release();
        this.memoryBytes += byteLength;
      },
    };
  }

  async close(): Promise<void> {
    await this.handle?.close();
    if (this.handle) await rm(this.path, { force: true });
    this.handle = undefined;
  }

  private async spill(values: Float32Array): Promise<Kept> {
    const { byteLength } = values;
    const bytes = new Uint8Array(values.buffer, values.byteOffset, byteLength);
    const start = this.free.get(byteLength)?.pop() ?? this.end;
    if (start === this.end) this.end += byteLength;
    await this.use(async (handle) => {
      for (let done = 0; done < byteLength; )
        done += (await handle.write(bytes, done, byteLength - done, start + done)).bytesWritten;
    });
    return {
      read: () => this.use((handle) => readFloatsAt(handle, start, byteLength)),
      release: () => {
        this.free.set(byteLength, [...(this.free.get(byteLength) ?? []), start]);
      },
    };
  }

  private async use<T>(work: (handle: FileHandle) => Promise<T>): Promise<T> {
    try {
      this.handle ??= await open(this.path, 'w+');
      return await work(this.handle);
    } catch (error) {
      throw fileError(error, this.path);
    }
  }
}

async function readFloatsAt(handle: FileHandle, start: number, byteLength: number): Promise<Float32Array> {
  const bytes = new Uint8Array(byteLength);
  for (let done = 0; done < byteLength; ) {
    const { bytesRead } = await handle.read(bytes, done, byteLength - done, start + done);
    if (!bytesRead) throw new Error('a temporary file became shorter');
    done += bytesRead;
  }
  return new Float32Array(bytes.buffer);
}
