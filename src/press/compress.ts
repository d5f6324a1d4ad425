import { createHash } from 'node:crypto';
import { type Block, blocksOf } from '../codec/lossless/block.js';
import { equal } from '../codec/lossless/patterns.js';
import { LOSSLESS } from '../container/codecs.js';
import { splitHeader, total } from '../container/directory.js';
import {
  deflate,
  FILE_HEADER_BYTES,
  FRAME,
  FRAME_HEADER_BYTES,
  fileHeader,
  frame,
  jsonPayload,
  pieces,
  trailer,
} from '../container/frames.js';
import { ConnectionError, InputError } from '../errors.js';
import { DTYPE_BYTES, elementCount } from '../formats/dtype.js';
import type { Model } from '../formats/model.js';
import type { StoredTensor } from '../formats/safetensors.js';
import { type DirectoryModel, isDirectoryModel, type WeightSource } from '../formats/stored-model.js';
import { readInto } from '../io/source.js';
import { checksum } from '../kernels/lossless.js';
import { HashThread } from './hash-thread.js';
import { describe, inputPaths, type Manifest } from './manifest.js';
import { checkOutput, Output } from './output.js';
import { Ordered, Pool } from './pool.js';
import { type KeptFrame, takeOver } from './resume.js';

export interface CompressOptions {
  /** Worker threads; default: what the machine runs at once. The file is the same with any number. */
  readonly threads?: number;
  /** Go on from what an interrupted run of this machine left of the output. */
  readonly resume?: boolean;
  /** Replace an existing output. */
  readonly force?: boolean;
  /** Bytes of tensors done, of all of them. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/**
 * Compresses a model losslessly into one .wpk file, which appears under its name only when it is whole.
 * @throws {InputError} when the model is not made of safetensors files, or the output cannot be written.
 */
export async function compress(opened: Model, output: string, options: CompressOptions = {}): Promise<void> {
  if (!isDirectoryModel(opened))
    throw new InputError('is a .wpk already; expected a folder or a file of weights', { file: opened.id });
  const model = (await opened.asStored?.()) ?? opened;
  const { force = false } = options;
  await checkOutput(output, inputPaths(model), force);
  const manifest = await describe(model, { codec: LOSSLESS });
  const manifestFrame = frame(FRAME.manifest, jsonPayload(manifest));
  const left = options.resume ? await takeOver(output, manifestFrame, force) : undefined;
  const { out, kept } = left ?? {
    out: await Output.create(output, { force, resumable: true }),
    kept: { frames: [], end: 0 },
  };
  const pool = new Pool(options.threads);
  const [fileHash, tensorHash] = [new HashThread(), new HashThread()];
  try {
    if (kept.end === 0) {
      await out.write(fileHeader());
      await out.write(manifestFrame);
    }
    const manifestEnd = FILE_HEADER_BYTES + manifestFrame.length;
    const { onProgress } = options;
    await new Run({
      model,
      manifest,
      manifestEnd,
      out,
      pool,
      fileHash,
      tensorHash,
      kept: kept.frames,
      onProgress,
    }).all();
    await out.finish();
  } catch (error) {
    if (!(error instanceof ConnectionError)) {
      await out.discard();
      throw error;
    }
    await out.close();
    throw new ConnectionError(
      `${error.message}; the same command with --resume goes on`,
      {},
      { cause: error },
    );
  } finally {
    await Promise.all([pool.close(), fileHash.close(), tensorHash.close()]);
  }
}

interface RunParts {
  readonly model: DirectoryModel;
  readonly manifest: Manifest;
  readonly manifestEnd: number;
  readonly out: Output;
  readonly pool: Pool;
  /** One digests whole files, the other tensors: the main thread only hands buffers on. */
  readonly fileHash: HashThread;
  readonly tensorHash: HashThread;
  readonly kept: readonly KeptFrame[];
  readonly onProgress: CompressOptions['onProgress'];
}

const EMPTY_SHA256 = createHash('sha256').digest('hex');

/** Blocks that may be under way in the two digests, beside those in the pool. */
const HASHING = 6;

/** One pass over a model: every frame in the order of the file, and the directory of them. */
class Run {
  private readonly totalBytes: number;
  private doneBytes = 0;
  private nextKept = 0;
  private writing = Promise.resolve();
  private readonly tensors: (Manifest['tensors'][number] & {
    readonly sha256?: string;
    readonly frames?: readonly number[];
  })[] = [];
  /** Blocks under way, written and noted in their tensor's `frames` in order, across tensors. */
  private readonly blocks: Ordered<{ readonly frame: Uint8Array | KeptFrame; readonly frames: number[] }>;

  constructor(private readonly on: RunParts) {
    const { model, pool, out } = on;
    this.totalBytes = model.tensors.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
    this.blocks = new Ordered(pool.depth + HASHING, async ({ frame, frames }) => {
      frames.push(frame instanceof Uint8Array ? frame.length : frame.lengthBytes);
      if (!(frame instanceof Uint8Array)) return;
      await this.writing; // one write is under way while the next block is worked on
      this.writing = out.write(frame).then(() => pool.give(frame));
      this.writing.catch(() => {}); // awaited later
    });
  }

  async all(): Promise<void> {
    const sideFiles = [];
    for (const [i, file] of this.on.model.sideFiles.entries()) {
      const bytes = await file.read();
      if (bytes.length !== file.lengthBytes)
        throw new InputError('changed while being read', { file: file.name });
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      sideFiles.push({
        ...this.on.manifest.sideFiles[i]!,
        sha256,
        frames: await this.addPieces(FRAME.sideFile, bytes),
      });
    }
    const headers = [];
    for (const { headerBytes } of this.on.model.weightSources)
      headers.push(await this.addPieces(FRAME.weightHeader, headerBytes));
    const weightFiles = [];
    for (const [i, source] of this.on.model.weightSources.entries()) {
      const between = splitHeader(source.headerBytes, source.between, source.tensors.length);
      for (const [j, tensor] of source.tensors.entries()) {
        this.on.fileHash.update(between[j]!);
        await this.addTensor(source, tensor);
      }
      this.on.fileHash.update(between.at(-1)!);
      await source.source.verify?.();
      weightFiles.push({
        ...this.on.manifest.weightFiles[i]!,
        sha256: await this.on.fileHash.digest(),
        frames: headers[i]!,
      });
    }
    await this.blocks.finish();
    await this.writing;
    let offset = this.on.manifestEnd + total([...sideFiles, ...weightFiles].flatMap(({ frames }) => frames));
    const tensors = [];
    for (const tensor of this.tensors) {
      tensors.push(tensor.frames ? { ...tensor, offset } : tensor);
      offset += total(tensor.frames ?? []);
    }
    const directory = frame(
      FRAME.directory,
      jsonPayload({ ...this.on.manifest, sideFiles, weightFiles, tensors }),
    );
    await this.on.out.write(directory);
    await this.on.out.write(trailer(offset, directory.length));
  }

  private async addPieces(
    type: typeof FRAME.sideFile | typeof FRAME.weightHeader,
    bytes: Uint8Array,
  ): Promise<number[]> {
    const lengths: number[] = [];
    for (const piece of pieces(bytes)) {
      const whole = frame(type, deflate(piece));
      const kept = this.on.kept[this.nextKept++];
      if (!kept) await this.on.out.write(whole);
      else if (!equal(kept.header, whole.subarray(0, FRAME_HEADER_BYTES))) throw this.changed();
      lengths.push(whole.length);
    }
    return lengths;
  }

  private async addTensor(source: WeightSource, tensor: StoredTensor): Promise<void> {
    const { fileHash, tensorHash, pool } = this.on;
    const entry = this.on.manifest.tensors[this.tensors.length]!;
    if (entry.sameAs !== undefined) {
      for await (const { bytes } of this.read(source, tensor)) {
        this.progress(bytes.length);
        pool.give(await fileHash.update(bytes));
      }
      this.tensors.push(entry);
      return;
    }
    const frames: number[] = [];
    const elements = elementCount(tensor.shape);
    let sha256: string | Promise<string> = EMPTY_SHA256;
    for await (const { bytes, block } of this.read(source, tensor)) {
      this.progress(bytes.length);
      const hashed = fileHash.update(bytes).then((same) => tensorHash.update(same));
      await this.blocks.add(this.code(hashed, block).then((frame) => ({ frame, frames })));
      // the next tensor's blocks must not reach the digest first
      if (block.first + block.count === elements) sha256 = await hashed.then(() => tensorHash.digest());
    }
    this.tensors.push({ ...entry, sha256, frames });
  }

  /** The blocks of a tensor in order, the next one being read while one is worked on. */
  private async *read({ source }: WeightSource, tensor: StoredTensor) {
    let { start } = tensor;
    const begin = (block: Block) => {
      const bytes = this.on.pool.take(block.count * DTYPE_BYTES[tensor.dtype]);
      const done = readInto(source, bytes, start).then(() => ({ bytes, block }));
      done.catch(() => {}); // awaited later
      start += bytes.length;
      return done;
    };
    let ahead: ReturnType<typeof begin> | undefined;
    for (const block of blocksOf(tensor.dtype, tensor.shape)) {
      const current = ahead;
      ahead = begin(block);
      if (current) yield await current;
    }
    if (ahead) yield await ahead;
  }

  /** A block's frame: the one that an interrupted run left, or a new one. */
  private async code(hashed: Promise<Uint8Array>, block: Block): Promise<Uint8Array | KeptFrame> {
    const kept = this.on.kept[this.nextKept];
    if (!kept) return this.on.pool.run('encode', { bytes: await hashed, block });
    this.nextKept++;
    const bytes = await hashed;
    if (kept.digest !== checksum(bytes)) throw this.changed();
    this.on.pool.give(bytes);
    return kept;
  }

  private changed(): InputError {
    const { id } = this.on.model;
    return new InputError('has changed since the interrupted run; begin anew without --resume', { file: id });
  }

  private progress(bytes: number): void {
    this.doneBytes += bytes;
    this.on.onProgress?.(this.doneBytes, this.totalBytes);
  }
}
