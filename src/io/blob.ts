import { type ByteSource, checkRange } from './source.js';

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
    const bytes = new Uint8Array(await this.blob.slice(start, end).arrayBuffer());
    signal?.throwIfAborted();
    return bytes;
  }

  async close(): Promise<void> {}
}
