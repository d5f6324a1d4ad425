import { checksum, PIECE_BYTES } from '../wasm/lossless.js';

/** The checksum of bytes that come in pieces: the same as that of all at once by `chainedChecksum`. */
export class RunningChecksum {
  private readonly buffer = new Uint8Array(PIECE_BYTES);
  private count = 0;
  private sum = 0n;

  /** Adds the next bytes. */
  add(bytes: Uint8Array): void {
    for (let start = 0; start < bytes.length; ) {
      const next = bytes.subarray(start, start + PIECE_BYTES - this.count);
      start += next.length;
      if (next.length === PIECE_BYTES) this.sum = checksum(next, this.sum);
      else this.fill(next);
    }
  }

  /** Returns the checksum of all bytes so far. */
  value(): bigint {
    return this.count ? checksum(this.buffer.subarray(0, this.count), this.sum) : this.sum;
  }

  private fill(bytes: Uint8Array): void {
    this.buffer.set(bytes, this.count);
    this.count += bytes.length;
    if (this.count < PIECE_BYTES) return;
    this.sum = checksum(this.buffer, this.sum);
    this.count = 0;
  }
}
