/** Buffers that are used again: those that arrive in messages are collected late, most of all by browsers. */
export class Buffers {
  private readonly free: ArrayBuffer[] = [];

  /** @param minBytes how long each is at least. */
  constructor(private readonly minBytes: number) {}

  /** Returns a buffer's first `length` bytes, to be filled; it has room for `room` bytes. */
  take(length: number, room = length): Uint8Array {
    const needed = Math.max(length, room, this.minBytes);
    const index = this.free.findLastIndex(({ byteLength }) => byteLength >= needed);
    const found = index < 0 ? undefined : this.free.splice(index, 1)[0];
    if (!found) this.free.shift(); // it is too small, and would only lie there
    return new Uint8Array(found ?? new ArrayBuffer(needed), 0, length);
  }

  /** Takes back the buffer of these bytes, if it is one that others can use. */
  give({ buffer }: Uint8Array): void {
    if (buffer.byteLength >= this.minBytes) this.free.push(buffer as ArrayBuffer);
  }
}
