import type { StoredFile } from '../../wpk/directory.js';
import { PIECE_BYTES } from '../../wpk/frames.js';
import { type FilePart, indexAt } from '../../wpk/original.js';
import type { Decoder, TensorBlock } from './decoder.js';
import type { OpenWpk } from './open-wpk.js';
import { CHUNK_BYTES } from './repository.js';

/** Reads a file of a .wpk by ranges, as it was compressed. It holds no decoded block between two chunks: a slow reader costs no memory. */
export class StoredFileReader {
  constructor(
    private readonly wpk: OpenWpk,
    private readonly file: StoredFile,
    private readonly decoder: Decoder,
  ) {}

  /** Yields the bytes from `start` to `end` (exclusive), each chunk valid until the next is asked for. @throws {IntegrityError} for damage. */
  async *read(start: number, end: number): AsyncGenerator<Uint8Array> {
    const parts = await this.wpk.partsOf(this.file);
    const buffer = new Uint8Array(Math.min(CHUNK_BYTES, end - start));
    for (let at = start; at < end; ) {
      const room = buffer.subarray(0, end - at);
      const chunk = parts ? await this.ofParts(parts, at, room, end) : await this.ofPieces(at, room);
      at += chunk.length;
      yield chunk;
    }
  }

  private ofPieces(at: number, room: Uint8Array): Promise<Uint8Array> {
    const index = Math.floor(at / PIECE_BYTES);
    const copy = (piece: Uint8Array) => copied(piece, at - index * PIECE_BYTES, room);
    return this.decoder.readPiece(this.wpk, this.file, index, copy);
  }

  private async ofParts(
    parts: readonly FilePart[],
    at: number,
    room: Uint8Array,
    end: number,
  ): Promise<Uint8Array> {
    const index = indexAt(parts, at, (part) => part.end);
    const { start, bytes, tensor } = parts[index]!;
    if (!tensor) return bytes!.subarray(at - start, at - start + room.length);
    const planned = this.wpk.blocksOf(tensor);
    const position = indexAt(planned, at - start, ({ endByte }) => endByte);
    const [block, ...ahead] = this.blocksFrom(parts, index, position, end);
    const from = at - start - block!.planned.firstByte;
    const reading = this.decoder.read(block!, (elements) => copied(elements, from, room));
    if (from === 0) for (const next of ahead) this.decoder.prepare(next);
    return reading;
  }

  /** Returns the block at a position, and those after it that keep all threads busy, before byte `end` of the file. */
  private blocksFrom(parts: readonly FilePart[], index: number, position: number, end: number) {
    const found: TensorBlock[] = [];
    for (let i = index, first = position; i < parts.length && parts[i]!.start < end; i++, first = 0) {
      const { tensor, start } = parts[i]!;
      if (!tensor) continue;
      const planned = this.wpk.blocksOf(tensor);
      for (let j = first; j < planned.length && start + planned[j]!.firstByte < end; j++) {
        found.push({ wpk: this.wpk, tensor, planned: planned[j]! });
        if (found.length > this.decoder.depth) return found;
      }
    }
    return found;
  }
}

/** Copies bytes from an offset on into `room`. @returns those that were copied. */
function copied(bytes: Uint8Array, from: number, room: Uint8Array): Uint8Array {
  const part = bytes.subarray(from, from + room.length);
  room.set(part);
  return room.subarray(0, part.length);
}
