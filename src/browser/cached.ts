import { checkRange } from '../core/byte-source.js';
import { fetchBytes, type HttpFile, HttpSource } from '../io/http.js';
import { longChecksum } from '../wpk/frames.js';

/** Bytes of a piece, which is stored as a file named by its offset and ends with its checksum. */
const PIECE_BYTES = 2 ** 20;
export const TRAILER_BYTES = 8;

/** Writes a piece. @returns whether it was written. */
type Keep = (name: string, bytes: Uint8Array) => Promise<boolean>;

/** A file on a server, read by ranges, whose pieces are cached in a folder. */
export class CachedBytes extends HttpSource {
  /** False once the quota is used up. */
  private hasRoom = true;

  /** @param lock name of the lock with which pages avoid concurrent downloads. */
  constructor(
    file: HttpFile,
    private readonly folder: FileSystemDirectoryHandle,
    private readonly lock: string,
    private readonly keep: Keep,
  ) {
    super(file);
  }

  override async readInto(target: Uint8Array, start: number, signal?: AbortSignal): Promise<void> {
    const end = start + target.length;
    checkRange(this, start, end);
    signal?.throwIfAborted();
    const take = (piece: Uint8Array, first: number) => {
      const [from, to] = [Math.max(start, first), Math.min(end, first + piece.length)];
      target.set(piece.subarray(from - first, to - first), from - start);
    };
    for (let first = start - (start % PIECE_BYTES); first < end; ) {
      const piece = await this.cachedPiece(first);
      if (piece) {
        take(piece, first);
        first += PIECE_BYTES;
      } else if (this.hasRoom) first = await this.fetch(first, end, take, signal);
      else {
        const from = Math.max(start, first);
        return super.readInto(target.subarray(from - start), from, signal);
      }
    }
  }

  /** Downloads from a piece until `end` or a piece that another page has cached in the meantime. @returns where it stopped. */
  private fetch(
    first: number,
    end: number,
    take: (piece: Uint8Array, first: number) => void,
    signal?: AbortSignal,
  ): Promise<number> {
    return navigator.locks.request(this.lock, { ...(signal && { signal }) }, async () => {
      const last = await this.firstCached(first, Math.min(this.byteLength, roundUp(end)));
      let at = first;
      for await (const piece of inPieces(fetchBytes(this.file, first, last, signal), last - first)) {
        take(piece, at);
        if (this.hasRoom) this.hasRoom = await this.keep(String(at), withChecksum(piece));
        at += piece.length;
      }
      return last;
    });
  }

  private async firstCached(first: number, end: number): Promise<number> {
    for (let at = first; at < end; at += PIECE_BYTES) if (await this.cachedPiece(at)) return at;
    return end;
  }

  /** Returns a cached piece; undefined if it is missing or damaged. */
  private async cachedPiece(first: number): Promise<Uint8Array | undefined> {
    try {
      const handle = await this.folder.getFileHandle(String(first));
      const written = new Uint8Array(await (await handle.getFile()).arrayBuffer());
      const piece = written.subarray(0, -TRAILER_BYTES);
      const length = Math.min(PIECE_BYTES, this.byteLength - first);
      return piece.length === length && checksumIn(written) === longChecksum(piece, 0n) ? piece : undefined;
    } catch {
      return; // missing, or just being removed
    }
  }
}

const roundUp = (bytes: number) => Math.ceil(bytes / PIECE_BYTES) * PIECE_BYTES;

/** Yields the same `total` bytes in pieces of equal size, except the last. */
async function* inPieces(chunks: AsyncIterable<Uint8Array>, total: number): AsyncGenerator<Uint8Array> {
  let left = total;
  let piece = new Uint8Array(Math.min(left, PIECE_BYTES));
  let filled = 0;
  for await (let chunk of chunks)
    while (chunk.length) {
      const part = chunk.subarray(0, piece.length - filled);
      piece.set(part, filled);
      filled += part.length;
      chunk = chunk.subarray(part.length);
      if (filled < piece.length) continue;
      yield piece;
      left -= filled;
      piece = new Uint8Array(Math.min(left, PIECE_BYTES));
      filled = 0;
    }
}

function withChecksum(piece: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(piece.length + TRAILER_BYTES);
  bytes.set(piece);
  new DataView(bytes.buffer).setBigUint64(piece.length, longChecksum(piece, 0n), true);
  return bytes;
}

function checksumIn(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteLength - TRAILER_BYTES).getBigUint64(0, true);
}
