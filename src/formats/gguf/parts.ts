import { type ByteSource, checkRange } from '../../io/source.js';
import type { GgufHeader } from './header.js';

/** A stretch of a GGUF file. All of them, one after another, are the file. */
export interface GgufPart {
  /** The tensor whose blocks it is; undefined for the header. */
  readonly tensor: string | undefined;
  readonly start: number;
  readonly end: number;
}

/**
 * Cuts a GGUF file of `fileBytes` bytes into its header and its tensors' blocks, as they lie: what stands between two tensors, or
 * behind the last, is at the end of the part before it. Without tensors the header is all.
 */
export function ggufParts({ tensors }: GgufHeader, fileBytes: number): GgufPart[] {
  const ordered = [...tensors].sort((a, b) => a.start - b.start || a.end - b.end);
  const starts = [...ordered.map(({ start }) => start), fileBytes];
  return [
    { tensor: undefined, start: 0, end: starts[0]! },
    ...ordered.map(({ name, start }, i) => ({ tensor: name, start, end: starts[i + 1]! })),
  ];
}

/** Reads bytes `start` to `end` (exclusive) of a part, counted from its first. */
export type ReadPart = (
  part: GgufPart,
  start: number,
  end: number,
  signal?: AbortSignal,
) => Promise<Uint8Array>;

/**
 * The file that parts make, as bytes to be read by ranges: to be written out, bit by bit as it was, or opened as a model.
 * @param close of what the parts are read from.
 */
export function rebuildGguf(
  name: string,
  parts: readonly GgufPart[],
  readPart: ReadPart,
  close: () => Promise<void>,
): ByteSource {
  const byteLength = parts.at(-1)?.end ?? 0;
  const read = async (start: number, end: number, signal?: AbortSignal) => {
    checkRange({ name, byteLength }, start, end);
    const bytes = new Uint8Array(end - start);
    for (const part of parts) {
      const [from, to] = [Math.max(start, part.start), Math.min(end, part.end)];
      if (from < to)
        bytes.set(await readPart(part, from - part.start, to - part.start, signal), from - start);
    }
    return bytes;
  };
  return { name, byteLength, read, close };
}
