import { declaredDigest } from '../codecs/lossless/block.js';
import { equal } from '../codecs/lossless/patterns.js';
import type { ByteSource } from '../core/byte-source.js';
import { InputError } from '../core/errors.js';
import {
  FILE_HEADER_BYTES,
  FRAME,
  FRAME_HEADER_BYTES,
  type FrameType,
  frameHeader,
  openFrame,
} from './frames.js';

/** A complete frame from an interrupted run: its header and length, and for a block the decoded bytes. */
export interface FinishedFrame {
  /** Type, length and checksum of the payload. */
  readonly header: Uint8Array;
  readonly lengthBytes: number;
  readonly digest: bigint | undefined;
}

/** The part of a file that an interrupted run completed. */
export interface Finished {
  /** The frames after the manifest, in order. */
  readonly frames: readonly FinishedFrame[];
  /** End of the last complete frame; 0 if not even the manifest is complete. */
  readonly end: number;
}

/**
 * Reads the frames that an interrupted run wrote, up to the first that is incomplete, damaged or a directory.
 * @param front file header and manifest of this run.
 * @throws {InputError} when that run had another model or other options: its manifest differs.
 */
export async function readFinished(source: ByteSource, front: Uint8Array): Promise<Finished> {
  const frames: FinishedFrame[] = [];
  let end = front.length;
  if (source.byteLength < end) return { frames, end: 0 };
  const found = await source.read(0, end);
  if (!equal(found.subarray(FILE_HEADER_BYTES), front.subarray(FILE_HEADER_BYTES))) {
    if (!(await readFrame(source, FILE_HEADER_BYTES))) return { frames, end: 0 }; // incomplete after a power cut
    throw new InputError(
      'was begun from another model or with other options',
      { file: source.name },
      { code: 'resume-differs' },
    );
  }
  if (!equal(found, front)) return { frames, end: 0 };
  for (;;) {
    const finished = await readFrame(source, end);
    if (!finished) return { frames, end };
    frames.push(finished);
    end += finished.lengthBytes;
  }
}

/** Reads the frame at `start`; undefined for a directory, and for an incomplete frame. */
async function readFrame(source: ByteSource, start: number): Promise<FinishedFrame | undefined> {
  if (start + FRAME_HEADER_BYTES > source.byteLength) return undefined;
  try {
    const header = await source.read(start, start + FRAME_HEADER_BYTES);
    const { type, payloadBytes } = frameHeader(header, source.name, start);
    const lengthBytes = FRAME_HEADER_BYTES + payloadBytes;
    if (type === FRAME.directory || start + lengthBytes > source.byteLength) return undefined;
    const whole = await source.read(start, start + lengthBytes);
    const payload = openFrame(whole, type as FrameType, source.name, start);
    return { header, lengthBytes, digest: type === FRAME.block ? declaredDigest(payload) : undefined };
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}
