/** A pool of reusable buffers: buffers that arrive in messages are garbage collected late, above all in browsers. */
export class Buffers {
  private readonly free: ArrayBufferLike[] = [];

  /** @param minBytes minimum length of each buffer. @param shared whether threads share them, instead of receiving them by moves. */
  constructor(
    private readonly minBytes: number,
    private readonly shared = false,
  ) {}

  /** Returns the first `length` bytes of a buffer with room for at least `room` bytes. Their content is undefined. */
  take(length: number, room = length): Uint8Array {
    const needed = Math.max(length, room, this.minBytes);
    const index = this.free.findLastIndex(({ byteLength }) => byteLength >= needed);
    const found = index < 0 ? undefined : this.free.splice(index, 1)[0];
    if (!found) this.free.shift(); // all are too small: drop one
    const buffer = found ?? (this.shared ? new SharedArrayBuffer(needed) : new ArrayBuffer(needed));
    return new Uint8Array(buffer, 0, length);
  }

  /** Returns the buffer of these bytes to the pool, if it is one like the others and long enough. */
  give({ buffer }: Uint8Array): void {
    const isShared = !(buffer instanceof ArrayBuffer);
    if (isShared === this.shared && buffer.byteLength >= this.minBytes) this.free.push(buffer);
  }
}

/** Returns the buffers of these arrays that a message has to move; shared ones stay where they are. */
export function movedBuffers(arrays: readonly ArrayBufferView[]): ArrayBuffer[] {
  return [...new Set(arrays.map(({ buffer }) => buffer))].filter((buffer) => buffer instanceof ArrayBuffer);
}
