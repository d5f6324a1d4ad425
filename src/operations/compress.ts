import { createHash } from 'node:crypto';
import { LOSSLESS } from '../codecs/codec.js';
import { type Block, blocksOf } from '../codecs/lossless/block.js';
import { equal } from '../codecs/lossless/patterns.js';
import { readInto } from '../core/byte-source.js';
import { DTYPE_BYTES, elementCount } from '../core/dtype.js';
import { ConnectionError, InputError } from '../core/errors.js';
import type { Folder, FolderFile } from '../core/folder.js';
import type { Model } from '../core/model.js';
import type { HubOptions } from '../hub/folder.js';
import { checkOutput, Output } from '../io/node/checked-output.js';
import { openFile } from '../io/node/file.js';
import { SMALL_TENSOR_BYTES, sha256 } from '../io/node/sha256.js';
import { temporariesOf } from '../io/node/temporary.js';
import { readAhead } from '../io/read-ahead.js';
import { excluding } from '../models/folder/selection.js';
import { nameIn } from '../models/node/local.js';
import type { StoredTensor } from '../models/safetensors/header.js';
import type { WeightSource } from '../models/stored-model.js';
import { openFiles } from '../open/open.js';
import { checksum } from '../wasm/lossless.js';
import { Hashing } from '../workers/node/hashing.js';
import { Ordered } from '../workers/ordered.js';
import type { BlockPool } from '../wpk/block-pool.js';
import { parseDirectory, splitHeader, total } from '../wpk/directory.js';
import {
  deflate,
  FILE_HEADER_BYTES,
  FRAME,
  FRAME_HEADER_BYTES,
  fileHeader,
  frame,
  isWpk,
  jsonPayload,
  PIECE_BYTES,
  pieces,
  trailer,
} from '../wpk/frames.js';
import { describe, inputPaths, type Manifest } from '../wpk/manifest.js';
import { startBlockPool } from '../wpk/node/block-threads.js';
import { type FinishedFrame, takeOver } from '../wpk/resume.js';
import { type Contents, closeContents, readContents } from '../wpk/stored/contents.js';

export interface CompressOptions {
  /** Worker threads; 0: none, which is faster for what is small; default: what the machine runs at once. The file is the same with any number. */
  readonly threads?: number;
  /** Go on from what an interrupted run of this machine left of the output. */
  readonly resume?: boolean;
  /** Replace an existing output. */
  readonly force?: boolean;
  /** Patterns of files that are not taken along: `*.onnx`, `onnx/**`. They are named in the file. */
  readonly exclude?: readonly string[];
  /** Of a repository on the Hub: also further copies of the same weights in other formats. */
  readonly all?: boolean;
  /** Of a repository on the Hub: leave what is fetched in the cache. */
  readonly keep?: boolean;
  /** Called with the repository once it is found. */
  readonly onFolder?: HubOptions['onFolder'];
  /** Bytes done, of all of them. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/**
 * Compresses a folder or file losslessly into one .wpk file, which appears under its name only when it is whole. All files of the folder
 * are in it, byte for byte, whether they are understood or not.
 * @param from a path, an address, a name on the Hub; or an opened model, of which the files that it was opened from are taken.
 * @throws {InputError} naming what cannot be read or taken along, and when the output cannot be written.
 */
export async function compress(
  from: string | Model,
  output: string,
  options: CompressOptions = {},
): Promise<void> {
  const { keep, onFolder } = options;
  const reading = keep ? 'download' : 'sequential';
  const opened =
    typeof from === 'string' ? await openFiles(from, { reading, ...(onFolder && { onFolder }) }) : undefined;
  const files = opened ?? (from as Model).files;
  try {
    if (!files || files.kind === 'wpk')
      throw new InputError('is a .wpk already; expected a folder or a file of weights', {
        file: typeof from === 'string' ? from : from.id,
      });
    await compressFiles(excluding(files, options.exclude), output, options);
  } finally {
    await opened?.close();
  }
}

async function compressFiles(files: Folder, output: string, options: CompressOptions): Promise<void> {
  const outputs = files.kind === 'directory' ? await namesOf(output, files.id) : [];
  const contents = await readContents(files, { all: options.all, outputs });
  try {
    if (!contents.sideFiles.length && !contents.weightSources.length)
      throw new InputError('has no files to compress', { file: files.id });
    await checkOutput(output, inputPaths({ kind: files.kind, ...contents }), options.force ?? false);
    await writeContents(files, contents, output, options);
  } finally {
    await closeContents(contents);
  }
}

/** The output's own names in the folder that is compressed, where it lies there. A file there that is no .wpk is input. */
async function namesOf(output: string, folder: string): Promise<string[]> {
  const paths = [...(await temporariesOf(output)), ...((await isInput(output)) ? [] : [output])];
  const names = await Promise.all(paths.map((path) => nameIn(folder, path)));
  return names.filter((name) => name !== undefined);
}

async function isInput(path: string): Promise<boolean> {
  const source = await openFile(path).catch(() => undefined);
  if (!source) return false;
  try {
    return !isWpk(await source.read(0, Math.min(FILE_HEADER_BYTES, source.byteLength)));
  } finally {
    await source.close();
  }
}

async function writeContents(
  files: Folder,
  contents: Contents,
  output: string,
  options: CompressOptions,
): Promise<void> {
  const { force = false } = options;
  const manifest = await describe(contents, { codec: LOSSLESS });
  const manifestFrame = frame(FRAME.manifest, jsonPayload(manifest));
  const left = options.resume ? await takeOver(output, manifestFrame, force) : undefined;
  const { out, kept } = left ?? {
    out: await Output.create(output, { force, resumable: true }),
    kept: { frames: [], end: 0 },
  };
  const pool = startBlockPool(options.threads);
  const [fileHash, tensorHash] = [new Hashing(options.threads), new Hashing(options.threads)];
  try {
    if (kept.end === 0) {
      await out.write(fileHeader());
      await out.write(manifestFrame);
    }
    const manifestEnd = FILE_HEADER_BYTES + manifestFrame.length;
    const { onProgress } = options;
    const on = {
      files,
      contents,
      manifest,
      manifestEnd,
      out,
      pool,
      fileHash,
      tensorHash,
      kept: kept.frames,
      onProgress,
    };
    await new Run(on).all();
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
  readonly files: Folder;
  readonly contents: Contents;
  readonly manifest: Manifest;
  readonly manifestEnd: number;
  readonly out: Output;
  readonly pool: BlockPool;
  /** One digests whole files, the other tensors: the main thread only hands buffers on. */
  readonly fileHash: Hashing;
  readonly tensorHash: Hashing;
  readonly kept: readonly FinishedFrame[];
  readonly onProgress: CompressOptions['onProgress'];
}

const EMPTY_SHA256 = sha256(new Uint8Array());

/** Blocks that may be under way in the two digests, beside those in the pool. */
const HASHING = 6;

/** One pass over all files: every frame in the order of the file, and the directory of them. */
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
  private readonly blocks: Ordered<{ readonly frame: Uint8Array | FinishedFrame; readonly frames: number[] }>;

  constructor(private readonly on: RunParts) {
    const { contents, pool, out } = on;
    this.totalBytes =
      contents.sideFiles.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0) +
      contents.weightSources.reduce((sum, { source }) => sum + source.byteLength, 0);
    this.blocks = new Ordered(pool.depth + HASHING, async ({ frame, frames }) => {
      frames.push(frame instanceof Uint8Array ? frame.length : frame.lengthBytes);
      if (!(frame instanceof Uint8Array)) return;
      await this.writing; // one write is under way while the next block is worked on
      this.writing = out.write(frame).then(() => pool.give(frame));
      this.writing.catch(() => {}); // awaited later
    });
  }

  async all(): Promise<void> {
    const { contents, manifest, manifestEnd, out } = this.on;
    const sideFiles = [];
    for (const [i, file] of contents.sideFiles.entries())
      sideFiles.push({ ...manifest.sideFiles[i]!, ...(await this.sideFile(file)) });
    await this.finishBlocks();
    const headers = [];
    for (const { headerBytes } of contents.weightSources) headers.push(await this.addHeader(headerBytes));
    const weightFiles = [];
    for (const [i, source] of contents.weightSources.entries()) {
      const digest = await this.weightFile(source);
      weightFiles.push({ ...manifest.weightFiles[i]!, sha256: digest, frames: headers[i]! });
    }
    await this.finishBlocks();
    let offset = manifestEnd + total([...sideFiles, ...weightFiles].flatMap(({ frames }) => frames));
    const tensors = [];
    for (const tensor of this.tensors) {
      tensors.push(tensor.frames ? { ...tensor, offset } : tensor);
      offset += total(tensor.frames ?? []);
    }
    const stated = { ...manifest, sideFiles, weightFiles, tensors };
    parseDirectory(stated, out.path, manifestEnd, offset); // what a reader would refuse is not written
    const directory = frame(FRAME.directory, jsonPayload(stated));
    await out.write(directory);
    await out.write(trailer(offset, directory.length));
  }

  /** Waits until all frames so far are written. */
  private async finishBlocks(): Promise<void> {
    await this.blocks.finish();
    await this.writing;
  }

  private async sideFile({ name, lengthBytes }: FolderFile) {
    const { files, pool } = this.on;
    const source = await files.open(name);
    const hash = createHash('sha256');
    const frames: number[] = [];
    try {
      if (source.byteLength !== lengthBytes)
        throw new InputError('changed while being read', { file: source.name });
      for (let start = 0; start === 0 || start < lengthBytes; start += PIECE_BYTES) {
        const bytes = pool.take(Math.min(PIECE_BYTES, lengthBytes - start));
        await readInto(source, bytes, start);
        hash.update(bytes);
        this.progress(bytes.length);
        await this.blocks.add(this.piece(bytes).then((frame) => ({ frame, frames })));
      }
      await source.verify?.();
    } finally {
      await source.close();
    }
    return { sha256: hash.digest('hex'), frames };
  }

  /** A piece's frame: an interrupted run's has to be the same. */
  private async piece(bytes: Uint8Array): Promise<Uint8Array | FinishedFrame> {
    const kept = this.on.kept[this.nextKept++];
    const whole = await this.on.pool.run('deflate', { bytes });
    if (!kept) return whole;
    if (!equal(kept.header, whole.subarray(0, FRAME_HEADER_BYTES))) throw this.changed();
    this.on.pool.give(whole);
    return kept;
  }

  private async weightFile(source: WeightSource): Promise<string> {
    const { fileHash } = this.on;
    const between = splitHeader(source.headerBytes, source.between, source.tensors.length);
    const ahead = { ...source, source: readAhead(source.source) };
    for (const [i, bytes] of between.entries()) {
      this.progress(bytes.length);
      if (bytes.length) fileHash.update(bytes);
      const tensor = source.tensors[i];
      if (tensor) await this.addTensor(ahead, tensor);
    }
    await source.source.verify?.();
    return fileHash.digest();
  }

  private async addHeader(bytes: Uint8Array): Promise<number[]> {
    const lengths: number[] = [];
    for (const piece of pieces(bytes)) {
      const whole = frame(FRAME.weightHeader, deflate(piece));
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
    const isSmall = tensor.lengthBytes <= SMALL_TENSOR_BYTES;
    let digest: string | Promise<string> = EMPTY_SHA256;
    for await (const { bytes, block } of this.read(source, tensor)) {
      this.progress(bytes.length);
      if (isSmall) digest = sha256(bytes); // its only block
      const inFile = fileHash.update(bytes);
      const hashed = isSmall ? inFile : inFile.then((same) => tensorHash.update(same));
      await this.blocks.add(this.code(hashed, block).then((frame) => ({ frame, frames })));
      // the next tensor's blocks must not reach the digest first
      if (!isSmall && block.first + block.count === elements)
        digest = await hashed.then(() => tensorHash.digest());
    }
    this.tensors.push({ ...entry, sha256: digest, frames });
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
  private async code(hashed: Promise<Uint8Array>, block: Block): Promise<Uint8Array | FinishedFrame> {
    const kept = this.on.kept[this.nextKept];
    if (!kept) return this.on.pool.run('encode', { bytes: await hashed, block });
    this.nextKept++;
    const bytes = await hashed;
    if (kept.digest !== checksum(bytes)) throw this.changed();
    this.on.pool.give(bytes);
    return kept;
  }

  private changed(): InputError {
    const { id } = this.on.contents;
    return new InputError('has changed since the interrupted run; start over without --resume', { file: id });
  }

  private progress(bytes: number): void {
    this.doneBytes += bytes;
    this.on.onProgress?.(this.doneBytes, this.totalBytes);
  }
}
