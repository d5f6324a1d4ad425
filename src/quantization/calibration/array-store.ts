import { TemporaryFile } from '../../io/node/temporary-file.js';

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
  private opening: Promise<TemporaryFile> | undefined;
  private end = 0;
  private readonly free = new Map<number, number[]>();

  /** @param beside where a file of this run's own is made, but only when memory does not suffice. */
  constructor(
    private readonly beside: string,
    private memoryBytes: number,
  ) {}

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
    const file = await this.opening?.catch(() => undefined);
    await file?.close();
    this.opening = undefined;
  }

  private async spill(values: Float32Array): Promise<StoredArray> {
    const { byteLength } = values;
    this.opening ??= TemporaryFile.create(this.beside, 'states'); // one file, however many ask for it at once
    const file = await this.opening;
    const start = this.free.get(byteLength)?.pop() ?? this.end;
    if (start === this.end) this.end += byteLength;
    await file.write(values, start);
    return {
      read: async () => new Float32Array(await file.read(start, byteLength)),
      release: () => {
        this.free.set(byteLength, [...(this.free.get(byteLength) ?? []), start]);
      },
    };
  }
}
