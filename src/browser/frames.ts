import type { FrameRange } from '../container/plan.js';
import type { ByteSource } from '../io/source.js';

/** Frames that follow each other are asked for together, up to so many bytes; one such piece is fetched ahead. */
const PIECE_BYTES = 2 ** 22;

/** A frame and its bytes, in memory that is all its own. */
export interface ReadFrame<Range> {
  readonly range: Range;
  readonly frame: Uint8Array;
}

/**
 * Reads frames in order, in few large reads, the next one while the last is worked on.
 * @throws {InputError} as the source's reads.
 */
export async function* readFrames<Range extends FrameRange>(
  source: ByteSource,
  ranges: Iterable<Range>,
  signal?: AbortSignal,
): AsyncGenerator<ReadFrame<Range>> {
  let ahead: Promise<ReadFrame<Range>[]> | undefined;
  try {
    for (const piece of inPieces(ranges)) {
      const current = ahead;
      ahead = readPiece(source, piece, signal);
      ahead.catch(() => {}); // awaited later
      if (current) yield* await current;
    }
    if (ahead) yield* await ahead;
  } finally {
    await ahead?.catch(() => {});
  }
}

function* inPieces<Range extends FrameRange>(ranges: Iterable<Range>): Generator<Range[]> {
  let piece: Range[] = [];
  for (const range of ranges) {
    const last = piece.at(-1);
    if (last && (last.end !== range.start || range.end - piece[0]!.start > PIECE_BYTES)) {
      yield piece;
      piece = [];
    }
    piece.push(range);
  }
  if (piece.length) yield piece;
}

async function readPiece<Range extends FrameRange>(
  source: ByteSource,
  ranges: readonly Range[],
  signal?: AbortSignal,
): Promise<ReadFrame<Range>[]> {
  const { start } = ranges[0]!;
  const bytes = await source.read(start, ranges.at(-1)!.end, signal);
  return ranges.map((range) => ({ range, frame: bytes.slice(range.start - start, range.end - start) }));
}
