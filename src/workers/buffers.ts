/** A pool of reusable buffers: buffers that arrive in messages are garbage collected late, above all in browsers. */
export class Buffers {
  private readonly free: ArrayBuffer[] = [];

  /** @param minBytes minimum length of each buffer. */
  constructor(private readonly minBytes: number) {}

  /** Returns the first `length` bytes of a buffer with room for at least `room` bytes. Their content is undefined. */
  take(length: number, room = length): Uint8Array {
    const needed = Math.max(length, room, this.minBytes);
    const index = this.free.findLastIndex(({ byteLength }) => byteLength >= needed);
    const found = index < 0 ? undefined : this.free.splice(index, 1)[0];
    if (!found) this.free.shift(); // all are too small: drop one
    return new Uint8Array(found ?? new ArrayBuffer(needed), 0, length);
  }

  /** Returns the buffer of these bytes to the pool, if it is long enough. */
  give({ buffer }: Uint8Array): void {
    if (buffer.byteLength >= this.minBytes) this.free.push(buffer as ArrayBuffer);
  }
}
