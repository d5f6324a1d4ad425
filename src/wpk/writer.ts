import type { StoredBase, TensorBase } from './base.js';
import { type Directory, parseDirectory, total } from './directory.js';
import {
  FILE_HEADER_BYTES,
  FRAME,
  fileHeader,
  frame,
  jsonPayload,
  TRAILER_BYTES,
  trailer,
} from './frames.js';
import type { Manifest } from './manifest.js';
import type { FinishedFrame } from './resume.js';

/** Receives the bytes of a file in order, one call at a time. The bytes stay unchanged until `write` resolves. */
export interface Sink {
  write(bytes: Uint8Array): Promise<void>;
}

/** The parts of a file between manifest and directory, in order. */
const PARTS = ['sideFiles', 'weightHeaders', 'tables', 'tensors'] as const;
export type Part = (typeof PARTS)[number];

/** Fields of a tensor in the directory, besides those of the manifest and the positions of its frames. */
export interface TensorFacts {
  /** By default lossless. */
  readonly codec?: string;
  readonly sha256: string;
  /** Relative squared error of a lossy tensor. */
  readonly error?: number;
  /** The tensor of the base that it is a difference from. */
  readonly base?: TensorBase | undefined;
}

/** Digests and measurements that are known only when the content is complete, in the manifest's order. */
export interface DirectoryFacts {
  readonly sideFiles: readonly { readonly sha256: string }[];
  readonly weightFiles: readonly { readonly sha256: string; readonly sourceSha256?: string }[];
  /** Undefined for a tensor that is a duplicate according to the manifest. */
  readonly tensors: readonly (TensorFacts | undefined)[];
  /** Given if any tensor has a base. */
  readonly base?: StoredBase | undefined;
  readonly weightError?: Directory['weightError'] | undefined;
  readonly quality?: Directory['quality'] | undefined;
}

/** Bytes of a complete file and of its parts, including frame headers. The parts sum to the file. */
export interface WrittenBytes extends Readonly<Record<Part, number>> {
  readonly file: number;
  /** File header and manifest. */
  readonly front: number;
  /** Directory and trailer. */
  readonly end: number;
}

/** Serializes the bytes before the first part: file header and manifest. */
export function frontOf(manifest: Manifest): Uint8Array {
  const whole = frame(FRAME.manifest, jsonPayload(manifest));
  const bytes = new Uint8Array(FILE_HEADER_BYTES + whole.length);
  bytes.set(fileHeader());
  bytes.set(whole, FILE_HEADER_BYTES);
  return bytes;
}

/** Writes a .wpk file sequentially. Defines the order of the parts of a file and the layout of the directory. */
export class WpkWriter {
  private readonly front: Uint8Array;
  /** Frame lengths of every file, header and tensor. */
  private readonly frames: Readonly<Record<Part, readonly number[][]>>;
  private length: number;
  private last: readonly [part: number, index: number] = [0, 0];

  /** @param name of the file, for errors. @param front front bytes, if already serialized. */
  constructor(
    private readonly sink: Sink,
    private readonly name: string,
    private readonly manifest: Manifest,
    front = frontOf(manifest),
  ) {
    const lists = (items: readonly unknown[]) => items.map((): number[] => []);
    this.front = front;
    this.frames = {
      sideFiles: lists(manifest.sideFiles),
      weightHeaders: lists(manifest.weightFiles),
      tables: [[]],
      tensors: lists(manifest.tensors),
    };
    this.length = front.length;
  }

  /** Offset of the directory, once all frames are written. */
  get directoryStart(): number {
    return this.length;
  }

  /** Writes file header and manifest. Not called when an interrupted run already wrote them. */
  async begin(): Promise<void> {
    await this.sink.write(this.front);
  }

  /**
   * Appends a frame of the `index`-th side file, weight header or tensor, or of the tables. A frame that an interrupted run already
   * wrote is only counted.
   * @throws {Error} when the frame belongs before the last one.
   */
  async append(part: Part, index: number, frame: Uint8Array | FinishedFrame): Promise<void> {
    const place = [PARTS.indexOf(part), index] as const;
    const [lastPart, lastIndex] = this.last;
    if (place[0] < lastPart || (place[0] === lastPart && index < lastIndex))
      throw new Error(`${part} ${index} of ${this.name} was written out of order`);
    this.last = place;
    const isNew = frame instanceof Uint8Array;
    const bytes = isNew ? frame.length : frame.lengthBytes;
    this.frames[part][index]!.push(bytes);
    this.length += bytes;
    if (isNew) await this.sink.write(frame);
  }

  /**
   * Writes directory and trailer. May be called again with other facts after the sink was truncated to `directoryStart`.
   * @throws {InputError} for a directory that a reader would refuse; nothing is then written.
   */
  async finish(facts: DirectoryFacts): Promise<WrittenBytes> {
    const place = { file: this.name, manifestEnd: this.front.length, directoryStart: this.length };
    const end = await writeEnd(this.sink, this.directory(facts), place);
    const bytesOf = (part: Part) => total(this.frames[part].flat());
    return {
      file: this.length + end,
      front: this.front.length,
      sideFiles: bytesOf('sideFiles'),
      weightHeaders: bytesOf('weightHeaders'),
      tables: bytesOf('tables'),
      tensors: bytesOf('tensors'),
      end,
    };
  }

  /** Returns the directory's JSON. The order of members determines the file's bytes. */
  private directory({ sideFiles, weightFiles, tensors, ...measured }: DirectoryFacts) {
    const { manifest, frames } = this;
    let offset =
      this.front.length + total([...frames.sideFiles, ...frames.weightHeaders, ...frames.tables].flat());
    const [tables] = frames.tables[0]!;
    return {
      ...manifest,
      sideFiles: manifest.sideFiles.map((file, i) => ({
        ...file,
        ...sideFiles[i],
        frames: frames.sideFiles[i],
      })),
      weightFiles: manifest.weightFiles.map((file, i) => ({
        ...file,
        ...weightFiles[i],
        frames: frames.weightHeaders[i],
      })),
      tensors: manifest.tensors.map((entry, i) => {
        const known = tensors[i];
        if (!known) return entry;
        const own = frames.tensors[i]!;
        const start = offset;
        offset += total(own);
        const { codec, sha256, error, base } = known;
        const from = base && { base };
        if (codec === undefined) return { ...entry, sha256, ...from, frames: own, offset: start };
        return {
          ...entry,
          codec,
          sha256,
          ...from,
          offset: start,
          frames: own,
          ...(error !== undefined && { error }),
        };
      }),
      ...(tables !== undefined && { tables }),
      ...measured,
    };
  }
}

/**
 * Writes a directory and the trailer after the frames. @returns the number of bytes written.
 * @throws {InputError} for a directory that a reader would refuse; nothing is then written.
 */
export async function writeEnd(
  sink: Sink,
  directory: Readonly<Record<string, unknown>>,
  place: { readonly file: string; readonly manifestEnd: number; readonly directoryStart: number },
): Promise<number> {
  const { file, manifestEnd, directoryStart } = place;
  parseDirectory(directory, file, manifestEnd, directoryStart);
  const whole = frame(FRAME.directory, jsonPayload(directory));
  await sink.write(whole);
  await sink.write(trailer(directoryStart, whole.length));
  return whole.length + TRAILER_BYTES;
}
