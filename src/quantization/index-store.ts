import { TemporaryFile } from '../io/node/temporary-file.js';

/** Holds the indices of quantized matrices in a temporary file: those of a large model do not fit into memory. */
export class IndexStore {
  private end = 0;

  private constructor(private readonly file: TemporaryFile) {}

  /** Creates the file beside an output. @throws {InputError} when the place cannot be written to. */
  static async create(output: string): Promise<IndexStore> {
    return new IndexStore(await TemporaryFile.create(output, 'scratch'));
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
    await this.file.write(values, start);
    const { file } = this;
    return async () => new Int16Array(await file.read(start, byteLength));
  }

  close(): Promise<void> {
    return this.file.close();
  }
}
