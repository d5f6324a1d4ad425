/** Maximum bytes of a cache: eight blocks of a lossless tensor. One larger block is still kept. */
const MAX_BYTES = 2 ** 23;

/**
 * Decoded blocks of an open file, those used last. The memory of one that has to go is used for the next, so what `get` returned is
 * valid only until the next `add`.
 */
export class BlockCache {
  /** By the offset of their frames, in order of use. */
  private readonly blocks = new Map<number, Uint8Array<ArrayBuffer>>();
  private bytes = 0;
  private closed = false;

  /** Returns the elements of the block whose frame begins at `start`; undefined where they are not kept. */
  get(start: number): Uint8Array | undefined {
    const found = this.blocks.get(start);
    if (found) {
      this.blocks.delete(start);
      this.blocks.set(start, found);
    }
    return found;
  }

  /** Keeps a copy of a block that is not here yet. */
  add(start: number, elements: Uint8Array): void {
    if (this.closed) return;
    let memory: Uint8Array<ArrayBuffer> | undefined;
    for (const [other, block] of this.blocks) {
      if (this.bytes + elements.length <= MAX_BYTES) break;
      this.blocks.delete(other);
      this.bytes -= block.length;
      if (block.length === elements.length) memory = block;
    }
    memory ??= new Uint8Array(elements.length);
    memory.set(elements);
    this.blocks.set(start, memory);
    this.bytes += memory.length;
  }

  /** Forgets all blocks, and keeps none from now on. */
  close(): void {
    this.closed = true;
    this.blocks.clear();
  }
}
