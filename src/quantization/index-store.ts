import { TemporaryFile } from '../io/node/temporary-file.js';

/** Stores the indices of quantized matrices in a temporary file, because those of a large model do not fit into memory. */
export class IndexStore {
  private end = 0;

  private constructor(private readonly file: TemporaryFile) {}

  /** Creates the file next to an output. @throws {InputError} when the folder is not writable. */
  static async create(output: string): Promise<IndexStore> {
    return new IndexStore(await TemporaryFile.create(output, 'scratch'));
  }

  /** Discards all indices; the next ones overwrite them. */
  clear(): void {
    this.end = 0;
  }

  /** Appends indices. @returns a function that reads them. */
  async add(values: Int16Array): Promise<() => Promise<Int16Array>> {
    const start = this.end;
    const { byteLength } = values; // the returned function must not keep the values alive
    this.end += byteLength;
    await this.file.write(values, start);
    const { file } = this;
    return async () => new Int16Array(await file.read(start, byteLength));
  }

  close(): Promise<void> {
    return this.file.close();
  }
}
