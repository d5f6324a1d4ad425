import { type DecoderSide, decodePayload } from '../codecs/codec.js';
import { type ByteSource, readInto } from '../core/byte-source.js';
import { concatenate } from '../core/bytes.js';
import { InputError, IntegrityError } from '../core/errors.js';
import { isPlainObject, parseJsonObject } from '../core/json.js';
import type { FindBase } from './base.js';
import { BlockCache } from './block-cache.js';
import {
  bytesOf,
  type Directory,
  MANIFEST_START,
  parseDirectory,
  restoredBytes,
  type StoredFile,
  type StoredTensorEntry,
  type StoredWeightFile,
  splitHeader,
  tensorsByFile,
  total,
} from './directory.js';
import {
  checkFileHeader,
  FILE_HEADER_BYTES,
  FRAME,
  FRAME_HEADER_BYTES,
  type FrameType,
  frameHeader,
  inflate,
  inflateJson,
  openFrame,
  PIECE_BYTES,
  readTrailer,
  TRAILER_BYTES,
} from './frames.js';
import { OwnBase } from './own-base.js';
import { type FrameRange, type PlannedBlock, planFiles, planParameters, planTables } from './plan.js';

/** Bytes read from the end at once: they include trailer and directory of most files. */
const SUFFIX_BYTES = 1 << 16;

/** Maximum bytes of the tables of a file, and of the parameters of a tensor. */
const SIDE_LIMIT_BYTES = 2 ** 24;

/** Maximum bytes of a file that is read into memory at once: config, tokenizer, index. */
const WHOLE_LIMIT_BYTES = 2 ** 26;

/** Memory for frames, used again and again: a frame of a lossless block is little longer than its elements. */
const FRAME_MEMORY_BYTES = 2 ** 21;

/** By default a file may restore this many times its length, and in any case 1 GiB. */
export const DEFAULT_EXPANSION = 1000;
const ALWAYS_RESTORED_BYTES = 2 ** 30;

/** Limits on the size of restored files. */
export interface ContainerOptions {
  /** Maximum restored bytes over the file's length, checked above 1 GiB; by default 1000. */
  readonly maxExpansion?: number | undefined;
}

/** An open .wpk file: its directory, and access to its frames. Nothing is decoded before it is read. */
export class Container {
  readonly files: ReadonlyMap<StoredFile, readonly FrameRange[]>;
  /** The model that tensors with a base are differences from. */
  readonly base: OwnBase;
  /** Number of bytes outside of tensors, by weight file. */
  private readonly headerBytes: ReadonlyMap<StoredFile, number>;
  private tables: Promise<Uint8Array> | undefined;
  /** The result of `readSide` for the tensor that was read last. */
  private side: { readonly start: number; readonly value: DecoderSide } | undefined;
  private frameMemory: ArrayBuffer | undefined;
  /** Blocks that were decoded last, and of which a part was not needed. */
  readonly blocks = new BlockCache();

  private constructor(
    readonly source: ByteSource,
    readonly directory: Directory,
    readonly manifestEnd: number,
    readonly directoryStart: number,
    /** The JSON of the directory, including unknown members. */
    private readonly json: Readonly<Record<string, unknown>>,
    findBase: FindBase | undefined,
  ) {
    this.base = new OwnBase(source.name, directory, findBase);
    this.files = planFiles(directory, manifestEnd);
    this.headerBytes = new Map(
      tensorsByFile(directory).map(({ file, tensors }) => [file, file.length - total(tensors.map(bytesOf))]),
    );
  }

  /**
   * Reads the first 32 bytes and the end of a file. The container then owns the source.
   * @param findBase opens the base of a file that has one, when it is first needed.
   * @throws {InputError} when the file is not a complete .wpk of a known version with a valid directory.
   */
  static async open(source: ByteSource, signal?: AbortSignal, findBase?: FindBase): Promise<Container> {
    const { name, byteLength } = source;
    const front = await source.read(0, Math.min(byteLength, FILE_HEADER_BYTES + FRAME_HEADER_BYTES), signal);
    checkFileHeader(front, name);
    if (byteLength < FILE_HEADER_BYTES + FRAME_HEADER_BYTES + TRAILER_BYTES)
      throw new IntegrityError(`truncated: ${byteLength} bytes are too few for a .wpk`, { file: name });
    const manifest = frameHeader(front.subarray(MANIFEST_START), name, MANIFEST_START);
    const manifestEnd = MANIFEST_START + FRAME_HEADER_BYTES + manifest.payloadBytes;
    const suffixStart = Math.max(0, byteLength - SUFFIX_BYTES);
    const suffix = await source.read(suffixStart, byteLength, signal);
    const { directoryStart, directoryEnd } = readTrailer(suffix.subarray(-TRAILER_BYTES), name, byteLength);
    const bytes =
      directoryStart >= suffixStart
        ? suffix.subarray(directoryStart - suffixStart, directoryEnd - suffixStart)
        : await source.read(directoryStart, directoryEnd, signal);
    const json = inflateJson(openFrame(bytes, FRAME.directory, name, directoryStart), name);
    const { value } = parseJsonObject(json, `${name} (directory)`);
    const directory = parseDirectory(value, name, manifestEnd, directoryStart);
    return new Container(source, directory, manifestEnd, directoryStart, value, findBase);
  }

  /** Checks that a small file does not expand to fill a disk. @throws {InputError} naming both sizes. */
  checkExpansion({ maxExpansion = DEFAULT_EXPANSION }: ContainerOptions = {}): void {
    const { name, byteLength } = this.source;
    const bytes = restoredBytes(this.directory);
    if (bytes <= Math.max(ALWAYS_RESTORED_BYTES, maxExpansion * byteLength)) return;
    throw new InputError(
      `a file of ${byteLength} bytes would restore ${bytes}, ${Math.ceil(bytes / byteLength)} times as many; the limit is ${maxExpansion} times`,
      { file: name },
      { code: 'expansion' },
    );
  }

  /** Reads a frame without verifying it. */
  readFrame({ start, end }: FrameRange, signal?: AbortSignal): Promise<Uint8Array> {
    return this.source.read(start, end, signal);
  }

  /** Does the same with memory that is used again after {@link returnFrame}: on this machine's disk, that is half of the time. */
  async borrowFrame(range: FrameRange, signal?: AbortSignal): Promise<Uint8Array> {
    const length = range.end - range.start;
    if (!this.source.readInto || length > FRAME_MEMORY_BYTES) return this.readFrame(range, signal);
    const memory = this.frameMemory ?? new ArrayBuffer(FRAME_MEMORY_BYTES);
    this.frameMemory = undefined;
    const frame = new Uint8Array(memory, 0, length);
    await readInto(this.source, frame, range.start, signal);
    return frame;
  }

  /** Takes the memory of a borrowed frame back. */
  returnFrame({ buffer }: Uint8Array): void {
    if (buffer.byteLength === FRAME_MEMORY_BYTES) this.frameMemory = buffer as ArrayBuffer;
  }

  /** Reads the pieces of a side file, or of a weight file's header, in order. @throws {IntegrityError} for damage, and a sum other than `lengthBytes`. */
  async *readPieces(
    file: StoredFile,
    type: FrameType,
    lengthBytes: number,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    let left = lengthBytes;
    for (const range of this.files.get(file)!) {
      const piece = await this.inflatePiece(file, range, type, Math.min(PIECE_BYTES, left), signal);
      left -= piece.length;
      yield piece;
    }
    if (left)
      throw new IntegrityError(`${file.name} is missing ${left} of ${lengthBytes} bytes`, {
        file: this.source.name,
      });
  }

  /** Reads one piece of a side file: of its bytes from `index` · {@link PIECE_BYTES} on. @throws {IntegrityError} for damage. */
  async readPiece(file: StoredFile, index: number, signal?: AbortSignal): Promise<Uint8Array> {
    const length = Math.min(PIECE_BYTES, file.length - index * PIECE_BYTES);
    const range = this.files.get(file)![index]!;
    const bytes = await this.inflatePiece(file, range, FRAME.sideFile, length, signal);
    if (bytes.length !== length)
      throw new IntegrityError(`a piece of ${file.name} has ${bytes.length} of ${length} bytes`, {
        file: this.source.name,
        ...range,
      });
    return bytes;
  }

  private async inflatePiece(
    file: StoredFile,
    range: FrameRange,
    type: FrameType,
    maxBytes: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const payload = openFrame(await this.readFrame(range, signal), type, this.source.name, range.start);
    return inflate(payload, maxBytes, `${this.source.name}, ${file.name}`);
  }

  /** Reads a whole side file. @throws {IntegrityError} for damage. @throws {InputError} for a file that is too large for memory. */
  async readFile(file: StoredFile, signal?: AbortSignal): Promise<Uint8Array> {
    if (file.length > WHOLE_LIMIT_BYTES)
      throw new InputError(`${file.name} has ${file.length} bytes, over the limit of ${WHOLE_LIMIT_BYTES}`, {
        file: this.source.name,
      });
    return concatenate(await collect(this.readPieces(file, FRAME.sideFile, file.length, signal)));
  }

  /** Reads the bytes of a weight file outside of tensors: those before each tensor, and those after the last. @throws {IntegrityError} for damage. */
  async header(file: StoredWeightFile, signal?: AbortSignal): Promise<Uint8Array[]> {
    const length = this.headerBytes.get(file)!;
    const bytes = concatenate(await collect(this.readPieces(file, FRAME.weightHeader, length, signal)));
    return splitHeader(bytes, file.between, file.tensors);
  }

  /**
   * Reads the tables and parameters that a tensor's blocks need for decoding; none for a lossless tensor.
   * @throws {IntegrityError} for damage.
   */
  async readSide(tensor: StoredTensorEntry, signal?: AbortSignal): Promise<DecoderSide> {
    const range = this.parametersOf(tensor);
    if (!range) return {};
    if (this.side?.start === range.start) return this.side.value;
    const value = await this.sideIn(await this.readFrame(range, signal), range);
    this.side = { start: range.start, value };
    return value;
  }

  /** Returns the range of a tensor's parameters. @throws {IntegrityError} when they are too large. */
  parametersOf(tensor: StoredTensorEntry): FrameRange | undefined {
    const range = planParameters(tensor);
    if (range) this.checkSide(range);
    return range;
  }

  /** Does the same as `readSide` with a frame of parameters that was already read. @throws {IntegrityError} for damage. */
  async sideIn(frame: Uint8Array, { start }: FrameRange): Promise<DecoderSide> {
    const parameters = openFrame(frame, FRAME.parameters, this.source.name, start);
    this.tables ??= this.readTables().catch((error) => {
      this.tables = undefined; // the server or the disk may work again
      throw error;
    });
    return { tables: await this.tables, parameters };
  }

  /** Reads the tables, for all who need them: no signal of one of them ends it. */
  private async readTables(): Promise<Uint8Array> {
    const range = planTables(this.directory, this.manifestEnd)!;
    this.checkSide(range);
    return openFrame(await this.readFrame(range), FRAME.tables, this.source.name, range.start);
  }

  private checkSide({ start, end }: FrameRange): void {
    if (end - start > SIDE_LIMIT_BYTES)
      throw new IntegrityError(`a frame of ${end - start} bytes is over the limit of ${SIDE_LIMIT_BYTES}`, {
        file: this.source.name,
        start,
        end,
      });
  }

  /** Checks that the manifest, which streaming readers rely on, agrees with the directory. @throws {IntegrityError} when they differ. */
  async checkManifest(): Promise<void> {
    const { name } = this.source;
    const bytes = await this.source.read(MANIFEST_START, this.manifestEnd);
    const payload = openFrame(bytes, FRAME.manifest, name, MANIFEST_START);
    const { value } = parseJsonObject(inflateJson(payload, name), `${name} (manifest)`);
    const differing = Object.keys(value).find((key) => !isSubset(value[key], this.json[key]));
    if (differing !== undefined)
      throw new IntegrityError(`the manifest and the directory differ in ${JSON.stringify(differing)}`, {
        file: name,
        start: MANIFEST_START,
        end: this.manifestEnd,
      });
  }

  async close(): Promise<void> {
    this.blocks.close();
    await Promise.all([this.source.close(), this.base.close()]);
  }
}

/** Returns true when two JSON values are equal, except for additional object members in the second. */
function isSubset(part: unknown, whole: unknown): boolean {
  if (Array.isArray(part))
    return (
      Array.isArray(whole) &&
      part.length === whole.length &&
      part.every((item, i) => isSubset(item, whole[i]))
    );
  if (isPlainObject(part))
    return isPlainObject(whole) && Object.keys(part).every((key) => isSubset(part[key], whole[key]));
  return part === whole;
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return all;
}

/**
 * Verifies and decodes a block's frame with the calling thread's kernels.
 * @returns a view, valid until the next call.
 * @throws {InputError} naming codec, tensor and byte range.
 */
export function decodeFrame(
  frame: Uint8Array,
  { start, end, block }: Pick<PlannedBlock, 'start' | 'end' | 'block'>,
  tensor: Pick<StoredTensorEntry, 'name' | 'codec'>,
  side: DecoderSide,
  file: string,
): Uint8Array {
  const payload = openFrame(frame, FRAME.block, file, start);
  try {
    return decodePayload(tensor.codec, payload, block, side);
  } catch (error) {
    const place = { file, tensor: tensor.name, start, end };
    if (!(error instanceof RangeError)) throw error;
    throw new IntegrityError(`codec ${tensor.codec}: ${error.message}`, place, {
      cause: error,
    });
  }
}
