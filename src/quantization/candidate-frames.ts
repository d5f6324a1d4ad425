import { createHash, type Hash } from 'node:crypto';
import { TRELLIS } from '../codecs/codec.js';
import { InputError } from '../core/errors.js';
import { sha256 } from '../io/node/sha256.js';
import type { StoredModel } from '../models/stored-model.js';
import { deflate, FRAME, FRAME_HEADER_BYTES, type FrameType, frame, pieces } from '../wpk/frames.js';
import type { FinishedFrame } from '../wpk/resume.js';
import type { Part, WpkWriter } from '../wpk/writer.js';

/** Frame payloads of a tensor: parameters (lossy codecs only), then blocks. */
export interface CodedTensor {
  readonly codec: string;
  readonly payloads: readonly Uint8Array[];
}

/** Frames that are the same in every trial: side files and weight headers. */
export interface Front {
  readonly sideFiles: readonly { readonly sha256: string; readonly frames: readonly Uint8Array[] }[];
  readonly headers: readonly (readonly Uint8Array[])[];
}

/** The frames of a complete candidate: tells whether a file has them, and what they are. */
export interface WrittenFrames {
  /** SHA-256 of the headers of all frames; these have the frames' checksums. */
  readonly sha256: string;
  readonly hasTables: boolean;
  /** Codec and number of frames of each tensor; null for a copy of another. */
  readonly tensors: readonly (readonly [codec: string, frames: number] | null)[];
}

/** Makes the frames of a model's side files and weight headers. @throws {InputError} for a file that changes. */
export async function makeFront({ sideFiles, weightSources }: StoredModel): Promise<Front> {
  const files = [];
  for (const file of sideFiles) {
    const bytes = await file.read();
    if (bytes.length !== file.lengthBytes)
      throw new InputError('changed while being read', { file: file.name });
    files.push({ sha256: sha256(bytes), frames: framesOf(FRAME.sideFile, bytes) });
  }
  const headers = weightSources.map(({ headerBytes }) => framesOf(FRAME.weightHeader, headerBytes));
  return { sideFiles: files, headers };
}

/** Returns whether frames that an interrupted run left are those of a candidate. */
export function isSame(finished: readonly FinishedFrame[], { sha256 }: WrittenFrames): boolean {
  const headers = createHash('sha256');
  for (const { header } of finished) headers.update(header);
  return headers.digest('hex') === sha256;
}

/** Writes the frames of a candidate in order, or counts those that an interrupted run wrote. */
export class FrameWriter {
  private readonly headers: Hash = createHash('sha256');
  private readonly tensors: (readonly [string, number] | null)[];
  private hasTables = false;

  /** @param tensors the number of tensors in the manifest. */
  constructor(
    private readonly writer: WpkWriter,
    tensors: number,
  ) {
    this.tensors = Array<null>(tensors).fill(null);
  }

  get written(): WrittenFrames {
    const { headers, hasTables, tensors } = this;
    return { sha256: headers.copy().digest('hex'), hasTables, tensors };
  }

  async front({ sideFiles, headers }: Front, next = (own: Uint8Array): Uint8Array | FinishedFrame => own) {
    for (const [i, { frames }] of sideFiles.entries())
      for (const own of frames) await this.append('sideFiles', i, next(own));
    for (const [i, frames] of headers.entries())
      for (const own of frames) await this.append('weightHeaders', i, next(own));
  }

  async tables(whole: Uint8Array | FinishedFrame): Promise<void> {
    this.hasTables = true;
    await this.append('tables', 0, whole);
  }

  /** Appends a tensor's frames. @param index in the manifest. */
  async tensor(index: number, codec: string, frames: readonly (Uint8Array | FinishedFrame)[]): Promise<void> {
    for (const whole of frames) await this.append('tensors', index, whole);
    this.tensors[index] = [codec, frames.length];
  }

  private async append(part: Part, index: number, whole: Uint8Array | FinishedFrame): Promise<void> {
    await this.writer.append(part, index, whole);
    this.headers.update(whole instanceof Uint8Array ? whole.subarray(0, FRAME_HEADER_BYTES) : whole.header);
  }
}

/** Returns the frames of a coded tensor. */
export function tensorFrames({ codec, payloads }: CodedTensor): Uint8Array[] {
  return payloads.map((payload, i) =>
    frame(codec === TRELLIS && i === 0 ? FRAME.parameters : FRAME.block, payload),
  );
}

function framesOf(type: FrameType, bytes: Uint8Array): Uint8Array[] {
  return pieces(bytes).map((piece) => frame(type, deflate(piece)));
}
