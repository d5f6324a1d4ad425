import { declaredDigest } from '../codecs/lossless/block.js';
import { equal } from '../codecs/lossless/patterns.js';
import type { ByteSource } from '../core/byte-source.js';
import { InputError } from '../core/errors.js';
import { openFile } from '../io/node/file.js';
import { Output } from '../io/node/output.js';
import { claim, leftoversOf, letGo } from '../io/node/temporary.js';
import {
  FILE_HEADER_BYTES,
  FRAME,
  FRAME_HEADER_BYTES,
  type FrameType,
  fileHeader,
  frameHeader,
  openFrame,
} from './frames.js';

/** A whole frame that an interrupted run has left: its header and length, and for a block what it decodes to. */
export interface FinishedFrame {
  /** Type, length and checksum of the payload. */
  readonly header: Uint8Array;
  readonly lengthBytes: number;
  readonly digest: bigint | undefined;
}

/** What of an interrupted run's file can be kept. */
export interface Kept {
  /** The frames behind the manifest, in order. */
  readonly frames: readonly FinishedFrame[];
  /** Everything up to here is whole. */
  readonly end: number;
}

/** An output that goes on from an interrupted run's. */
export interface TakenOver {
  readonly out: Output;
  readonly kept: Kept;
}

/**
 * Takes over what an interrupted run left of `output`, by giving it a name of this run's: no two go on from the same file. What is
 * still being made, and what another machine has left, is not touched.
 * @returns undefined when nothing was left.
 * @throws {InputError} when all that was left was begun from another model or with other options.
 */
export async function takeOver(
  output: string,
  manifest: Uint8Array,
  force: boolean,
): Promise<TakenOver | undefined> {
  let refused: unknown;
  for (const { path, isDead } of await leftoversOf(output, 'partial')) {
    const partial = isDead && (await claim(path, output));
    if (!partial) continue;
    try {
      const kept = await scanFile(partial, manifest);
      return { kept, out: await Output.resume(output, partial, kept.end, { force, resumable: true }) };
    } catch (error) {
      refused = error;
      letGo(partial);
    }
  }
  if (refused) throw refused;
  return;
}

async function scanFile(path: string, manifest: Uint8Array): Promise<Kept> {
  const source = await openFile(path);
  try {
    return await scanPartial(source, manifest);
  } finally {
    await source.close();
  }
}

/**
 * Reads what an interrupted run wrote, frame by frame, up to the first that is torn, damaged or a directory.
 * @throws {InputError} when it was begun from another model or with other options: its manifest differs.
 */
export async function scanPartial(source: ByteSource, manifest: Uint8Array): Promise<Kept> {
  const frames: FinishedFrame[] = [];
  let end = FILE_HEADER_BYTES + manifest.length;
  if (source.byteLength < end) return { frames, end: 0 };
  const front = await source.read(0, end);
  if (!equal(front.subarray(FILE_HEADER_BYTES), manifest)) {
    if (!(await readWhole(source, FILE_HEADER_BYTES))) return { frames, end: 0 }; // torn by a power cut
    throw new InputError(
      'was begun from another model or with other options',
      { file: source.name },
      { code: 'resume-differs' },
    );
  }
  if (!equal(front.subarray(0, FILE_HEADER_BYTES), fileHeader())) return { frames, end: 0 };
  for (;;) {
    const kept = await readWhole(source, end);
    if (!kept) return { frames, end };
    frames.push(kept);
    end += kept.lengthBytes;
  }
}

async function readWhole(source: ByteSource, start: number): Promise<FinishedFrame | undefined> {
  if (start + FRAME_HEADER_BYTES > source.byteLength) return;
  try {
    const header = await source.read(start, start + FRAME_HEADER_BYTES);
    const { type, payloadBytes } = frameHeader(header, source.name, start);
    const lengthBytes = FRAME_HEADER_BYTES + payloadBytes;
    if (type === FRAME.directory || start + lengthBytes > source.byteLength) return;
    const payload = openFrame(
      await source.read(start, start + lengthBytes),
      type as FrameType,
      source.name,
      start,
    );
    return { header, lengthBytes, digest: type === FRAME.block ? declaredDigest(payload) : undefined };
  } catch (error) {
    if (error instanceof InputError) return; // torn by the interruption
    throw error;
  }
}
