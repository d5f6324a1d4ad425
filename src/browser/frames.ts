import { type ByteSource, readInto } from '../core/byte-source.js';
import type { FrameRange } from '../wpk/plan.js';

/** Maximum bytes of consecutive frames that are read together; one such piece is read ahead. */
const PIECE_BYTES = 2 ** 22;
/** Size of the first piece; each is twice as large as the one before, so that decoding starts early with few requests. */
const FIRST_PIECE_BYTES = 2 ** 17;

/** A frame and its bytes, valid until the next one is requested. */
export interface ReadFrame<Range> {
  readonly range: Range;
  readonly frame: Uint8Array;
}

/**
 * Reads frames in order with few large reads, the next one during processing of the last. Two buffers alternate, because browsers are slow
 * to collect large buffers.
 * @throws {InputError} when the source cannot be read.
 */
export async function* readFrames<Range extends FrameRange>(
  source: ByteSource,
  ranges: Iterable<Range>,
  signal?: AbortSignal,
): AsyncGenerator<ReadFrame<Range>> {
  const buffers = [new Uint8Array(), new Uint8Array()];
  const read = async (piece: readonly Range[]): Promise<ReadFrame<Range>[]> => {
    const { start } = piece[0]!;
    const length = piece.at(-1)!.end - start;
    let buffer = buffers.shift()!;
    if (buffer.length < length) buffer = new Uint8Array(Math.max(length, PIECE_BYTES));
    buffers.push(buffer);
    await readInto(source, buffer.subarray(0, length), start, signal);
    return piece.map((range) => ({ range, frame: buffer.subarray(range.start - start, range.end - start) }));
  };
  let ahead: Promise<ReadFrame<Range>[]> | undefined;
  try {
    for (const piece of inPieces(ranges)) {
      const current = await ahead;
      ahead = read(piece);
      ahead.catch(() => {}); // awaited later
      if (current) yield* current;
    }
    if (ahead) yield* await ahead;
  } finally {
    await ahead?.catch(() => {});
  }
}

function* inPieces<Range extends FrameRange>(ranges: Iterable<Range>): Generator<Range[]> {
  let piece: Range[] = [];
  let limit = FIRST_PIECE_BYTES;
  for (const range of ranges) {
    const last = piece.at(-1);
    if (last && (last.end !== range.start || range.end - piece[0]!.start > limit)) {
      yield piece;
      piece = [];
      limit = Math.min(PIECE_BYTES, 2 * limit);
    }
    piece.push(range);
  }
  if (piece.length) yield piece;
}
