import { TemporaryFile } from '../../io/node/temporary-file.js';

/** A stored array. */
export interface StoredArray {
  read(): Promise<Float32Array>;
  /** Frees its space for later arrays. */
  release(): void;
}

/** A store of arrays, in memory or in a file. */
export interface ArrayStore {
  /** Stores an array, which must not be changed afterwards. */
  add(values: Float32Array): Promise<StoredArray>;
}

/** Stores arrays in memory. */
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

/** Stores arrays in memory up to a limit, and more in a temporary file. Released space is reused. */
export class SpillStore implements ArrayStore {
  private opening: Promise<TemporaryFile> | undefined;
  private end = 0;
  private readonly free = new Map<number, number[]>();

  /** @param beside path next to which the temporary file is created, once the limit is exceeded. */
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
    this.opening ??= TemporaryFile.create(this.beside, 'states'); // a single file, also for concurrent calls
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
