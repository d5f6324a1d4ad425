import { concatenate } from '../bytes.js';
import { ELEMENTS } from '../codec/elements.js';
import { type Block, decodeBlock } from '../codec/lossless/block.js';
import { decodeTransform } from '../codec/transform/payload.js';
import { type InputError, IntegrityError } from '../errors.js';
import type { ByteSource } from '../io/source.js';
import { losslessKernels } from '../kernels/lossless.js';
import { LOSSLESS, TRANSFORM, TRELLIS } from './codecs.js';
import {
  type Directory,
  MANIFEST_START,
  parseDirectory,
  type StoredFile,
  type StoredTensorEntry,
  type StoredWeightFile,
  splitHeader,
} from './directory.js';
import {
  checkFileHeader,
  FILE_HEADER_BYTES,
  FRAME,
  FRAME_HEADER_BYTES,
  type FrameType,
  frameHeader,
  inflate,
  JSON_LIMIT_BYTES,
  openFrame,
  PIECE_BYTES,
  readTrailer,
  TRAILER_BYTES,
} from './frames.js';
import { type FrameRange, type PlannedBlock, planFiles, planParameters, planTables } from './plan.js';
import { decodeRows } from './trellis.js';

/** One read of this many bytes from the end brings trailer and directory of most files. */
const SUFFIX_BYTES = 1 << 16;

/** Tables of a file, and parameters of a tensor. */
const SIDE_LIMIT_BYTES = 2 ** 24;

/** An open .wpk file: its directory, and its frames by range. Nothing is decoded before it is asked for. */
export class Container {
  readonly files: ReadonlyMap<StoredFile, readonly FrameRange[]>;
  private tables: Promise<Uint8Array> | undefined;

  private constructor(
    readonly source: ByteSource,
    readonly directory: Directory,
    readonly manifestEnd: number,
    readonly directoryStart: number,
  ) {
    this.files = planFiles(directory, manifestEnd);
  }

  /**
   * Reads the front (32 bytes) and the end of a file. The source then belongs to the container.
   * @throws {InputError} when the file is not a whole .wpk of a known version with a sound directory.
   */
  static async open(source: ByteSource, signal?: AbortSignal): Promise<Container> {
    const { name, byteLength } = source;
    const front = await source.read(0, Math.min(byteLength, FILE_HEADER_BYTES + FRAME_HEADER_BYTES), signal);
    checkFileHeader(front, name);
    if (byteLength < FILE_HEADER_BYTES + FRAME_HEADER_BYTES + TRAILER_BYTES)
      throw new IntegrityError(`truncated: ${byteLength} bytes are too few`, { file: name });
    const manifest = frameHeader(front.subarray(MANIFEST_START), name, MANIFEST_START);
    const manifestEnd = MANIFEST_START + FRAME_HEADER_BYTES + manifest.payloadBytes;
    const suffixStart = Math.max(0, byteLength - SUFFIX_BYTES);
    const suffix = await source.read(suffixStart, byteLength, signal);
    const { directoryStart, directoryEnd } = readTrailer(suffix.subarray(-TRAILER_BYTES), name, byteLength);
    const bytes =
      directoryStart >= suffixStart
        ? suffix.subarray(directoryStart - suffixStart, directoryEnd - suffixStart)
        : await source.read(directoryStart, directoryEnd, signal);
    const json = inflate(openFrame(bytes, FRAME.directory, name, directoryStart), JSON_LIMIT_BYTES, name);
    return new Container(
      source,
      parseDirectory(json, name, manifestEnd, directoryStart),
      manifestEnd,
      directoryStart,
    );
  }

  /** A whole frame, not yet verified. */
  readFrame({ start, end }: FrameRange, signal?: AbortSignal): Promise<Uint8Array> {
    return this.source.read(start, end, signal);
  }

  /** A side file, or the header of a weight file. @throws {IntegrityError} */
  async readFile(
    file: StoredFile,
    type: FrameType = FRAME.sideFile,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    for (const range of this.files.get(file)!) {
      const payload = openFrame(await this.readFrame(range, signal), type, this.source.name, range.start);
      pieces.push(inflate(payload, PIECE_BYTES, `${this.source.name}, ${file.name}`));
    }
    const bytes = concatenate(pieces);
    if (type === FRAME.sideFile && bytes.length !== file.length)
      throw new IntegrityError(`${file.name} has ${bytes.length} bytes, expected ${file.length}`, {
        file: this.source.name,
      });
    return bytes;
  }

  /** The bytes of a weight file that no tensor holds: those before each tensor, and those behind the last. @throws {IntegrityError} */
  async header(file: StoredWeightFile, signal?: AbortSignal): Promise<Uint8Array[]> {
    const bytes = await this.readFile(file, FRAME.weightHeader, signal);
    return splitHeader(bytes, file.between, file.tensors);
  }

  /**
   * What the blocks of a tensor need to be decoded, beside themselves: nothing for a lossless one.
   * @throws {IntegrityError}
   */
  async readSide(tensor: StoredTensorEntry, signal?: AbortSignal): Promise<DecoderSide> {
    const range = this.parametersOf(tensor);
    return range ? this.sideIn(await this.readFrame(range, signal), range, signal) : {};
  }

  /** Where that lies, but for the tables of the whole file. @throws {IntegrityError} when it is too large. */
  parametersOf(tensor: StoredTensorEntry): FrameRange | undefined {
    const range = planParameters(tensor);
    if (range) this.checkSide(range);
    return range;
  }

  /** The same of a frame that was read. @throws {IntegrityError} */
  async sideIn(frame: Uint8Array, { start }: FrameRange, signal?: AbortSignal): Promise<DecoderSide> {
    const parameters = openFrame(frame, FRAME.parameters, this.source.name, start);
    this.tables ??= this.readTables(signal);
    return { tables: await this.tables, parameters };
  }

  private async readTables(signal?: AbortSignal): Promise<Uint8Array> {
    const range = planTables(this.directory, this.manifestEnd)!;
    this.checkSide(range);
    return openFrame(await this.readFrame(range, signal), FRAME.tables, this.source.name, range.start);
  }

  private checkSide({ start, end }: FrameRange): void {
    if (end - start > SIDE_LIMIT_BYTES)
      throw new IntegrityError(`a frame of ${end - start} bytes is over the limit of its kind`, {
        file: this.source.name,
        start,
        end,
      });
  }

  /** Checks the manifest's frame; its content repeats the directory's. @throws {IntegrityError} */
  async checkManifest(): Promise<void> {
    const bytes = await this.source.read(MANIFEST_START, this.manifestEnd);
    const payload = openFrame(bytes, FRAME.manifest, this.source.name, MANIFEST_START);
    inflate(payload, JSON_LIMIT_BYTES, this.source.name);
  }

  close(): Promise<void> {
    return this.source.close();
  }
}

/** Payloads that a codec's blocks need beside their own. */
export interface DecoderSide {
  /** Of the whole file. */
  readonly tables?: Uint8Array;
  /** Of the tensor. */
  readonly parameters?: Uint8Array;
}

/** What turns a block's payload into elements, by the codec's name in the directory. */
type Decoder = (payload: Uint8Array, block: Block, side: DecoderSide) => Uint8Array;
const DECODERS: Readonly<Record<string, Decoder>> = {
  [LOSSLESS]: (payload, block) => decodeBlock(losslessKernels(), payload, block),
  [TRELLIS]: decodeRows,
  [TRANSFORM]: (payload, { dtype, count, columns }) => {
    const values = decodeTransform(losslessKernels(), payload, { rows: count / columns, columns });
    return ELEMENTS[dtype as keyof typeof ELEMENTS](values);
  },
};

/**
 * Verifies and decodes a block's frame with the calling thread's kernels.
 * @returns a view, valid until the next call.
 * @throws {InputError} naming codec, tensor and byte range.
 */
export function decodeFrame(
  frame: Uint8Array,
  { start, end, block }: PlannedBlock,
  tensor: Pick<StoredTensorEntry, 'name' | 'codec'>,
  side: DecoderSide,
  file: string,
): Uint8Array {
  const payload = openFrame(frame, FRAME.block, file, start);
  try {
    return DECODERS[tensor.codec]!(payload, block, side);
  } catch (error) {
    const place = { file, tensor: tensor.name, start, end };
    if (!(error instanceof RangeError)) throw error;
    throw new IntegrityError(`codec ${tensor.codec}: ${error.message}`, place, {
      cause: error,
    }) satisfies InputError;
  }
}
