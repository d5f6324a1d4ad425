import { type ByteSource, checkRange } from '../core/byte-source.js';
import { InputError } from '../core/errors.js';

/** A Blob or File, read by ranges. */
export class BlobSource implements ByteSource {
  readonly name: string;

  constructor(
    private readonly blob: Blob,
    name = 'name' in blob ? String(blob.name) : 'blob',
  ) {
    this.name = name;
  }

  get byteLength(): number {
    return this.blob.size;
  }

  async read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
    checkRange(this, start, end);
    signal?.throwIfAborted();
    const bytes = await this.blob
      .slice(start, end)
      .arrayBuffer()
      .catch((cause) => {
        throw new InputError(
          'cannot be read: the file was changed or removed',
          { file: this.name },
          { cause },
        );
      });
    signal?.throwIfAborted();
    return new Uint8Array(bytes);
  }

  async close(): Promise<void> {}
}
